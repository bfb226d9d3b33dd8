"""A paper's table beside ours: printed values from recipes, ours from runs."""

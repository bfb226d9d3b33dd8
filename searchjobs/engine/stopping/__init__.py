"""When to stop: one file a rule."""

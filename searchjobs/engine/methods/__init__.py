"""How alpha and w are updated: one file a method, its paper on top."""

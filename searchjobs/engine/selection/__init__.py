"""Which samples feed T and V: one file a strategy."""

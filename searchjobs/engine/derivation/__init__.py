"""How an architecture is read off: one file a derivation."""

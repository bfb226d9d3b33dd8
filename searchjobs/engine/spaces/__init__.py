"""Search spaces: one file or package each."""

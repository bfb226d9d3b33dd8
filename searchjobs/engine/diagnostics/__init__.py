"""What is measured beside the search; nothing here influences it."""

"""Contract files as test files: what is checked of each declaration, and pytest's nodes for it."""

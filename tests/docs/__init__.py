"""The documentation's own claims: every example runs, every table is that of the code."""

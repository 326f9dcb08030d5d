"""Contract files that nobody would write, through everything that reads contracts."""

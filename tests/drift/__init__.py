"""What changes for callers from one contract to another."""

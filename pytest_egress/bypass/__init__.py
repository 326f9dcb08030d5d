"""Ways around a sidecar: what it cannot stop, tried, and what enforces it in its place."""

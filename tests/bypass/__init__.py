"""Ways around a sidecar."""

"""VirtualServices as istiod programs them."""

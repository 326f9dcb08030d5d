"""VirtualService: read, validated, typed."""

"""VirtualService: its shape, its rules, its typed form."""

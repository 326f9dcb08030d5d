"""Where contracts are enforced: one small protocol, one module for each backend."""

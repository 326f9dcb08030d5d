"""VirtualServices as istiod programs them; imported only where a contract has one."""

"""What works on this machine and why not: checks that try the thing itself."""

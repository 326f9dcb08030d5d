"""What is released: the contents of wheel and source archive, and a run from the wheel alone."""

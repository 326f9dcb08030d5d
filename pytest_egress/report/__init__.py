"""What a run tells: explanations of outcomes, and the terminal's lines."""

"""Answers recorded from istiod, and the helpers that compare with them."""

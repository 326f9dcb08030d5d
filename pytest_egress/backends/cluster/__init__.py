"""Clusters with Istio: an existing one, or one that was made for the run."""

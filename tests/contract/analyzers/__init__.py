"""Istio's analyzers, in this project's words."""

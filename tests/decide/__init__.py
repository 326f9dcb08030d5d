"""Decisions over compiled contracts, without an Envoy."""

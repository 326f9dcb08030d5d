"""Tests of pytest_egress.backends.cluster."""

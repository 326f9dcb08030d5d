"""Tests of pytest_egress.capture."""

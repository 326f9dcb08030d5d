"""Tests of pytest_egress.report."""

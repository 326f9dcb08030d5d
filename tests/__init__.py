"""Tests of pytest-egress; helpers are imported from here, run from the repository root."""

"""Tests of contract files as test files."""

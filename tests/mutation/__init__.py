"""Tests of the mutation of contracts."""

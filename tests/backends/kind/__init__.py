"""Tests of the backend kind that need no container engine."""

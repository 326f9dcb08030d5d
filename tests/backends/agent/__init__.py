"""Tests of the test pod's agent."""

"""Tests of the probe against real servers on loopback."""

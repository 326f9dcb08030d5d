"""Tests that need a container engine: the tox environment ``docker`` brings one."""

"""Kernel capture without root: a command in a network namespace whose every call is redirected."""

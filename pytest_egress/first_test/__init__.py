"""A first contract test from the YAML that is there: find it, probe it, write what holds."""

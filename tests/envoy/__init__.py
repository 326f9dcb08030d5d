"""Tests of compiling a contract into Envoy configuration."""

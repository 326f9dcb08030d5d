"""Tests on a real cluster with Istio: `tox -e kind`."""

"""Clusters of the tests' own, made by the backend kind and broken: `tox -e kind-break`."""

"""Test suites that other projects wrote for their own packages, run behind a contract."""

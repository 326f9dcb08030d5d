"""Client libraries under capture; `tox -e clients` has them installed."""

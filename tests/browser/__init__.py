"""The HTML report in a real Chromium; ``tox -e html`` runs it."""

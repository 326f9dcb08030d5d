# noxfile.py
"""Sessions of nox."""

import nox


@nox.session
def egress(session: nox.Session) -> None:
    """What the pods may reach."""
    session.install("pytest-egress")
    session.run("pytest-egress", "validate", "egress")
    session.run("pytest", *(session.posargs or ["tests"]))

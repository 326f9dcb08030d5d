"""The guard before a cluster: contexts that look like production are not touched by accident."""

from __future__ import annotations

from fnmatch import fnmatchcase

from pytest_egress.errors import BackendError

__all__ = ["guard"]


def guard(context: str, server: str, deny: str, *, allowed: bool = False) -> None:
    """Return if a context may be used; ask nothing of its cluster.

    Args:
        context: its name in the kubeconfig; empty inside a cluster.
        server: the URL of its API server.
        deny: globs, separated by commas; one that matches the name or the URL forbids it. Case
            does not matter.
        allowed: whether such a context is wanted all the same (``--egress-allow-prod``).

    Raises:
        BackendError: it is forbidden.
    """
    if allowed:
        return
    for pattern in filter(None, map(str.strip, deny.split(","))):
        for what, name in (("context", context), ("API server", server)):
            if fnmatchcase(name.lower(), pattern.lower()):
                raise BackendError(
                    f"the {what} {name} matches {pattern} of --egress-deny-context: nothing was "
                    "asked of its cluster",
                    next_step="choose another context with --egress-context, or allow this one "
                    "with --egress-allow-prod",
                )

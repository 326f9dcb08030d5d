"""Contexts that look like production need a word more."""

from __future__ import annotations

import pytest

from pytest_egress.backends.cluster.guard import guard
from pytest_egress.errors import BackendError


@pytest.mark.parametrize(
    ("context", "server", "named"),
    [
        ("gke_shop_PROD-eu", "https://10.0.0.1:6443", "context gke_shop_PROD-eu matches *prod*"),
        ("admin", "https://api.production.example", "API server https://api.production.example"),
        ("", "https://k8s.prod.example:443", "API server https://k8s.prod.example:443"),
        ("live-eu", "https://10.0.0.1", "context live-eu matches live-* of"),
    ],
)
def test_forbidden(context: str, server: str, named: str) -> None:
    """The name and the server are looked at; the message says which, and what allows it."""
    with pytest.raises(BackendError) as caught:
        guard(context, server, "*prod*, live-*")
    assert named in caught.value.tried
    assert "--egress-allow-prod" in caught.value.next_step
    guard(context, server, "*prod*, live-*", allowed=True)


@pytest.mark.parametrize("deny", ["*prod*", "", " , "])
def test_allowed(deny: str) -> None:
    """What no glob matches is free; without globs everything is."""
    guard("kind-staging", "https://127.0.0.1:46047", deny)

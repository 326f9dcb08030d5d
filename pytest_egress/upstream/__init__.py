"""The simulated outside: names, addresses, certificates and servers that a contract can reach."""

from __future__ import annotations

from pytest_egress.received import ClientCertificate, Headers, Request
from pytest_egress.upstream.outside import Outside
from pytest_egress.upstream.record import Connection
from pytest_egress.upstream.script import Upstream
from pytest_egress.upstream.upstreams import Upstreams

__all__ = [
    "ClientCertificate",
    "Connection",
    "Headers",
    "Outside",
    "Request",
    "Upstream",
    "Upstreams",
]

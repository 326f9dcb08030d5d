"""The resources that behaviour is promised by, as YAML."""

from __future__ import annotations

from typing import Any

from tests.observed import document, entry

__all__ = [
    "ENDPOINTS",
    "HOST",
    "URL",
    "entry",
    "host",
    "policy",
    "route",
    "rule",
    "static",
]

HOST = "api.example.com"
URL = f"http://{HOST}"
ENDPOINTS = ("203.0.113.10", "203.0.113.11", "203.0.113.12")


def host(name: str = HOST, **spec: Any) -> str:
    """A ServiceEntry for one host that resolves by DNS, with HTTP, TLS, TCP and gRPC ports."""
    ports = {80: "HTTP", 443: "TLS", 5432: "TCP", 50051: "GRPC"}
    return entry(name.partition(".")[0], name, ports, **spec)


def static(*endpoints: str | dict[str, Any]) -> str:
    """A ServiceEntry for the host with endpoints, by default `ENDPOINTS`."""
    listed = [e if isinstance(e, dict) else {"address": e} for e in endpoints or ENDPOINTS]
    return host(resolution="STATIC", endpoints=listed)


def route(promised: bool = True, *, to: Any = HOST, base: Any = None, **settings: Any) -> str:
    """A VirtualService with one HTTP route; ``settings`` are in it only where promised.

    Args:
        promised: whether the settings are there.
        to: the destination host, or the whole list of destinations; None: no ``route``.
        base: what is in the route either way.
        settings: fields of the route.
    """
    destinations = [{"destination": {"host": to}}] if isinstance(to, str) else to
    http = {"route": destinations} if destinations else {}
    http |= (base or {}) | (settings if promised else {})
    return document("VirtualService", "routes", "default", {"hosts": [HOST], "http": [http]})


def rule(*, name: str = HOST, **spec: Any) -> str:
    """A DestinationRule for a host."""
    return document("DestinationRule", "rule", "default", {"host": name, **spec})


def policy(promised: bool = True, *, base: Any = None, **settings: Any) -> str:
    """A DestinationRule with a traffic policy; ``settings`` are in it only where promised."""
    content: dict[str, Any] = (base or {}) | (settings if promised else {})
    return rule(trafficPolicy=content) if content else rule()

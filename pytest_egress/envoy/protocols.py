"""Port protocols as Istio parses them, and the groups that decide listeners and clusters."""

from __future__ import annotations

from typing import Final, Literal

__all__ = ["HTTP", "HTTP2", "SERVER_FIRST", "SNIFFED", "TCP", "TLS", "Protocol", "parse_protocol"]

Protocol = Literal[
    "TCP",
    "UDP",
    "GRPC",
    "GRPC-Web",
    "HTTP",
    "HTTP_PROXY",
    "HTTP2",
    "HTTPS",
    "TLS",
    "Mongo",
    "Redis",
    "MySQL",
    "Unsupported",
]

SNIFFED: Final = "Unsupported"
HTTP: Final[frozenset[Protocol]] = frozenset({"HTTP", "HTTP2", "HTTP_PROXY", "GRPC", "GRPC-Web"})
HTTP2: Final[frozenset[Protocol]] = frozenset({"HTTP2", "GRPC", "GRPC-Web"})
TCP: Final[frozenset[Protocol]] = frozenset({"TCP", "HTTPS", "TLS", "Mongo", "Redis", "MySQL"})
TLS: Final[frozenset[Protocol]] = frozenset({"HTTPS", "TLS"})
# The server speaks first, so an inspector on a shared port would wait for ever.
SERVER_FIRST: Final[frozenset[Protocol]] = frozenset({"Mongo", "MySQL"})

_PARSED: Final[dict[str, Protocol]] = {
    "tcp": "TCP",
    "udp": "UDP",
    "grpc": "GRPC",
    "grpc-web": "GRPC-Web",
    "http": "HTTP",
    "http_proxy": "HTTP_PROXY",
    "http2": "HTTP2",
    "https": "HTTPS",
    "tls": "TLS",
    "mongo": "Mongo",
    "redis": "Redis",
    "mysql": "MySQL",
}


def parse_protocol(text: str) -> Protocol:
    """The protocol named by ``ports[].protocol``, whatever its case.

    An empty or unknown name is ``Unsupported``: Istio then detects the protocol of each connection.
    The port's name is never looked at (unlike a Kubernetes Service).
    """
    return _PARSED.get(text.lower(), SNIFFED)

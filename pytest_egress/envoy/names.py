"""Host names, addresses and labels compared as Istio compares them."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface

__all__ = [
    "UNIX_PREFIX",
    "WILDCARD_ADDRESS",
    "cluster_name",
    "is_ip",
    "is_wildcard",
    "join_host_port",
    "labels_match",
    "parse_prefix",
    "qualified_host",
    "subset_of",
]

WILDCARD_ADDRESS = "0.0.0.0"  # noqa: S104  # a name in Envoy's configuration; nothing is bound here
#: The route configuration of the mesh's explicit HTTP proxy (``meshConfig.proxyHttpPort``).
HTTP_PROXY_ROUTES = "http_proxy"
UNIX_PREFIX = "unix://"


def is_wildcard(host: str) -> bool:
    """Whether a host stands for many: ``*.example.com``, ``*``."""
    return host.startswith("*")


def subset_of(host: str, pattern: str) -> bool:
    """Whether ``pattern`` covers every name ``host`` stands for (Istio's ``Name.SubsetOf``)."""
    if not is_wildcard(pattern):
        return host == pattern
    if is_wildcard(host):
        return len(host) >= len(pattern) and host[1:].endswith(pattern[1:])
    return host.endswith(pattern[1:])


def labels_match(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Whether ``labels`` has every pair of ``selector``; an empty selector matches all."""
    return all(labels.get(key) == value for key, value in selector.items())


def is_ip(text: str) -> bool:
    """Whether ``text`` is an IPv4 or IPv6 address, without a prefix length."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def parse_prefix(text: str) -> IPv4Interface | IPv6Interface | None:
    """An address with prefix length (``10.1.2.3/8``); None where ``text`` is not one.

    A netmask instead of a length is not accepted, as in Go's ``netip.ParsePrefix``.
    """
    _, slash, length = text.partition("/")
    if not slash or not (length.isascii() and length.isdigit()) or length != str(int(length)):
        return None
    try:
        return ip_interface(text)
    except ValueError:
        return None


def qualified_host(host: str, namespace: str) -> str:
    """A host of a rule or route in full; a name without dot is a Kubernetes Service's."""
    if "." in host or host == "*" or is_ip(host):
        return host
    return f"{host}.{namespace}.svc.cluster.local"


def join_host_port(host: str, port: int) -> str:
    """``host:port``, with an IPv6 host in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def cluster_name(host: str, port: int, subset: str = "") -> str:
    """Istio's name of an outbound cluster: ``outbound|443||api.example.com``."""
    return f"outbound|{port}|{subset}|{host}"

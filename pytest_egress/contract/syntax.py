"""What istiod takes for a host name, an address, a label, a port and a protocol.

Each function returns what is wrong, in words, or None. The rules are those of Istio's
``pkg/config/validation`` and ``pkg/config/labels``, which differ from RFC 1123 in places:
upper case is allowed, and so is a trailing dot.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

__all__ = [
    "HTTP_PROTOCOLS",
    "PROTOCOLS",
    "TCP_PROTOCOLS",
    "TLS_PROTOCOLS",
    "address_flaw",
    "fqdn_flaw",
    "host_flaw",
    "is_dns_label",
    "is_ip",
    "is_partial_wildcard",
    "label_flaw",
    "port_flaw",
    "port_name_flaw",
    "protocol_flaw",
    "unix_path_flaw",
]

HTTP_PROTOCOLS = frozenset({"http", "http2", "http_proxy", "grpc", "grpc-web"})
TLS_PROTOCOLS = frozenset({"https", "tls"})
TCP_PROTOCOLS = TLS_PROTOCOLS | {"tcp", "mongo", "redis", "mysql"}
PROTOCOLS = HTTP_PROTOCOLS | TCP_PROTOCOLS | {"udp"}
_SHOWN = ("HTTP", "HTTPS", "HTTP2", "HTTP_PROXY", "GRPC", "GRPC-Web", "TLS", "TCP")
_SHOWN_PROTOCOLS = (*_SHOWN, "UDP", "Mongo", "Redis", "MySQL")

_LABEL = r"[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?"
_DNS_LABEL = re.compile(_LABEL)
_WILDCARD_LABEL = re.compile(rf"\*|(?:\*-?)?{_LABEL}")
_QUALIFIED = r"(?:[A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_TAG_KEY = re.compile(rf"({_LABEL}(?:\.{_LABEL})*/)?({_QUALIFIED})")
_TAG_VALUE = re.compile(rf"(?:{_QUALIFIED})?")
_GO_INTEGER = re.compile(r"[-+]?[0-9]+")
_CIDR_BITS = re.compile(r"0|[1-9][0-9]{0,2}")
_MAX_LABEL = 63
_MAX_NAME = 255
_INT64 = 1 << 63


@lru_cache(maxsize=4096)
def is_dns_label(text: str) -> bool:
    """Whether it is a DNS label: letters, digits and inner hyphens, 63 at most."""
    return len(text) <= _MAX_LABEL and _DNS_LABEL.fullmatch(text) is not None


@lru_cache(maxsize=4096)
def is_ip(text: str) -> bool:
    """Whether it is an IPv4 or IPv6 address (no leading zeros, no port)."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def host_flaw(host: str) -> str | None:
    """What is wrong with a host that may begin with a wildcard label."""
    flaw = _length_flaw(host)
    if flaw is not None:
        return flaw
    first, dot, rest = host.partition(".")
    if len(first) > _MAX_LABEL or _WILDCARD_LABEL.fullmatch(first) is None:
        return _bad_label(first)
    return _labels_flaw(rest) if dot else None


def fqdn_flaw(host: str) -> str | None:
    """What is wrong with a host that must be a plain name, without wildcard."""
    return _length_flaw(host) or _labels_flaw(host)


def is_partial_wildcard(host: str) -> bool:
    """``*foo.com`` and the like: Envoy refuses them as server names."""
    return "*" in host and len(host) != 1 and not host.startswith("*.")


def address_flaw(address: str) -> str | None:
    """What is wrong with a virtual address: an IP address or a CIDR block."""
    if address.count("/") == 1:
        ip, _, bits = address.partition("/")
        good = "%" not in ip and is_ip(ip) and _CIDR_BITS.fullmatch(bits) is not None
        if good and int(bits) <= (128 if ":" in ip else 32):
            return None
        return f'"{address}" is not a CIDR block: write it as 10.0.0.0/8 or 2001:db8::/32'
    if is_ip(address):
        return None
    if re.fullmatch(r"[0-9.]+", address) and re.search(r"(?:^|\.)0[0-9]", address):
        return f'"{address}" is not an IP address: a part has a leading zero, remove it'
    return f'"{address}" is not an IP address: write it as 192.0.2.1 or 2001:db8::1'


def label_flaw(key: str, value: str) -> str | None:
    """What is wrong with a label of an endpoint."""
    found = _TAG_KEY.fullmatch(key)
    if found is None or len(found[2]) > _MAX_LABEL or len(found[1] or "") > 254:
        return (
            f'"{key}" is not a label key: letters, digits, ".", "_", "-"; a DNS name and "/" before'
        )
    if _TAG_VALUE.fullmatch(value) is None:
        return f'"{value}" is not a label value: letters, digits, ".", "_" and "-"'
    return None


def port_flaw(number: int) -> str | None:
    """What is wrong with a port number."""
    return None if 1 <= number <= 65535 else f"port {number} is out of range: 1 to 65535"


def port_name_flaw(name: str) -> str | None:
    """What is wrong with a port name: a DNS label."""
    if is_dns_label(name):
        return None
    if not name:
        return "the port's name is empty: give it one, such as https"
    return f'"{name}" is not a port name: letters, digits and inner hyphens, at most 63'


@lru_cache(maxsize=256)
def protocol_flaw(protocol: str) -> str | None:
    """What is wrong with a protocol; empty means that Istio detects it."""
    from pytest_egress.contract.suggest import did_you_mean

    if protocol.lower() in PROTOCOLS or not protocol:
        return None
    return f'"{protocol}" is not a protocol: {did_you_mean(protocol.strip(), _SHOWN_PROTOCOLS)}'


def unix_path_flaw(address: str) -> str | None:
    """What is wrong with a ``unix://`` address: an absolute path to a file, or ``@name``."""
    path = address.removeprefix("unix://")
    if path.startswith("@") or (path.startswith("/") and not path.endswith("/")):
        return None
    return f'"{address}" is not a socket: write unix:///absolute/path or unix://@name'


def _length_flaw(host: str) -> str | None:
    if not host:
        return "the host is empty: give a DNS name"
    if len(host.encode()) > _MAX_NAME:
        return f"the host has {len(host)} characters: at most {_MAX_NAME} are allowed"
    return None


@lru_cache(maxsize=8192)
def _labels_flaw(domain: str) -> str | None:
    labels = domain.split(".")
    last = labels[-1]
    if _GO_INTEGER.fullmatch(last) and -_INT64 <= int(last) < _INT64:
        return f'the last label "{last}" is a number: a host is a DNS name, not an IP address'
    if last == "":
        labels.pop()  # a trailing dot
    for label in labels:
        if not is_dns_label(label):
            return _bad_label(label)
    return None


def _bad_label(label: str) -> str:
    shown = label if len(label) <= _MAX_LABEL else label[:20] + "..."
    if "://" in label or "/" in label:
        return f'"{shown}" is not part of a DNS name: give the bare host, without scheme or path'
    if ":" in label:
        return f'"{shown}" is not part of a DNS name: give the port under ports, not in the host'
    if len(label) > _MAX_LABEL:
        return f'the label "{shown}" has {len(label)} characters: at most {_MAX_LABEL} are allowed'
    if label == "":
        return "a label is empty: remove the extra dot"
    rule = "letters, digits and inner hyphens"
    if "*" in label:
        rule += "; a wildcard only as the whole first label"
    return f'the label "{shown}" is not allowed in a DNS name: {rule}'

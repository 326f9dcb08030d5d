"""Names and ports beside a declaration: inside of its wildcard, next to it, undeclared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain

from pytest_egress.contract.contract import Contract
from pytest_egress.report.nearest import matches

__all__ = ["covered", "free_port", "inside", "neighbour"]

_MOST = 63  # characters of a label
_PORTS: dict[str, tuple[int, ...]] = {
    "http": (8080, 8000, 8888),
    "https": (8443, 9443, 10443),
    "tls": (8443, 9443, 10443),
}
_SCHEMES = {"grpc": "http", "grpcs": "https"}


def inside(host: str, deep: bool = False) -> str:
    """A name that ``host`` stands for: of ``*.example.com`` one below it, or two; else itself."""
    host = host.lower().removesuffix(".")
    if not host.startswith("*"):
        return host
    return f"any.deep{host[1:]}" if deep and host[1:2] == "." else f"any{host[1:]}"


def neighbour(host: str, is_covered: Callable[[str], bool]) -> str:
    """A name beside ``host`` that nothing declares: ``not-api.example.com``; empty: none is free.

    Of ``*.example.com`` it is one that ends alike and is not below it: ``not-example.com``.
    """
    return next((name for name in _neighbours(host) if not is_covered(name)), "")


def covered(contract: Contract) -> Callable[[str], bool]:
    """Whether a name is one that some resource of ``contract`` speaks of, whoever sees it."""
    patterns = {host for entry in contract.service_entries for host in entry.hosts}
    patterns |= {host for it in contract.virtual_services for host in it.hosts}
    patterns |= {host for it in contract.kubernetes_services for host in (it.host,)}
    exact = {it.lower().removesuffix(".") for it in patterns if not it.startswith("*")}
    wildcards = [it for it in patterns if it.startswith("*")]

    def is_covered(name: str) -> bool:
        return name in exact or any(matches(it, name) for it in wildcards)

    return is_covered


def free_port(scheme: str, port: int, taken: set[int]) -> int:
    """A port near ``port`` that is not ``taken``, one that the protocol is often spoken on."""
    usual: tuple[int, ...] = _PORTS.get(_SCHEMES.get(scheme, scheme), ())
    for number in chain(usual, range(port + 1, 65_536), range(1024, port)):
        if number not in taken:
            return number
    raise AssertionError("every port is declared")


def _neighbours(host: str) -> Iterator[str]:
    name = host.lower().removesuffix(".").lstrip("*").lstrip(".")
    label, _, parent = name.partition(".")
    if len(label) + len("not-") <= _MOST:
        yield f"not-{name}"
    while parent:
        yield f"not-declared.{parent}"
        parent = parent.partition(".")[2]
    yield "not-declared.invalid"
    yield "not-declared.test"

"""A mutant: one contract with one thing changed, and the assertion that would notice it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pytest_egress.contract.contract import Contract
from pytest_egress.contract.position import Position
from pytest_egress.contract.resources import Port, Resource
from pytest_egress.envoy.protocols import HTTP, parse_protocol

__all__ = ["Mutant", "call_of", "changed", "replaced", "url_of", "without"]

_R = TypeVar("_R", bound=Resource)
_FIELDS = {
    "ServiceEntry": "service_entries",
    "Sidecar": "sidecars",
    "VirtualService": "virtual_services",
    "DestinationRule": "destination_rules",
}


@dataclass(frozen=True, slots=True, eq=False)
class Mutant:
    """One contract with one thing changed.

    Attributes:
        operator: the name of the kind of change.
        change: what was changed, in words.
        position: where; None: in the mesh's settings.
        contract: what became of it.
        assertion: what a test would have to say to notice.
    """

    operator: str
    change: str
    position: Position | None
    contract: Contract
    assertion: str

    def __str__(self) -> str:
        return f"{self.position or 'mesh'}: {self.operator}: {self.change}"


def replaced(contract: Contract, old: Resource, *new: Resource) -> Contract:
    """The contract with ``new`` in the place of one of its resources."""
    name = _FIELDS[type(old).__name__]
    kept: list[Any] = []
    for resource in getattr(contract, name):
        kept.extend(new if resource is old else (resource,))
    values: dict[str, Any] = {name: tuple(kept)}
    return dataclasses.replace(contract, **values)


def changed(contract: Contract, old: _R, **values: Any) -> Contract:
    """The contract with other values in one of its resources."""
    return replaced(contract, old, dataclasses.replace(old, **values))


def without(items: Sequence[Any], index: int) -> tuple[Any, ...]:
    """All but one."""
    return (*items[:index], *items[index + 1 :])


def url_of(host: str, port: Port, number: int = 0) -> str:
    """A URL that asks for a host on a port, in the port's protocol."""
    protocol = parse_protocol(port.protocol)
    scheme = {"HTTPS": "https", "TLS": "tls", "GRPC": "grpc"}.get(protocol, "tcp")
    usual = {"https": 443, "tls": 443, "grpc": 80}.get(scheme)
    if protocol in HTTP and protocol != "GRPC":
        scheme, usual = "http", 80
    number = number or port.number
    return f"{scheme}://{host}" + ("" if number == usual else f":{number}")


def call_of(host: str, port: Port, number: int = 0) -> str:
    """The call of a test that asks for it."""
    return f'egress.probe("{url_of(host, port, number)}")'

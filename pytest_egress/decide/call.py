"""One connection by an application, as far as it decides what a proxy does with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from pytest_egress.probe.target import Target, is_address

__all__ = ["Call", "Protocol"]

Protocol = Literal["http", "tls", "tcp"]
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_ANYWHERE = "1.3.3.7"  # an address that no contract has a reason to name


@dataclass(frozen=True, slots=True)
class Call:
    """What is sent where.

    Attributes:
        port: the destination's.
        protocol: ``http`` (a request in plain text), ``tls`` (a handshake; nothing is said of what
            follows) or ``tcp`` (bytes that are neither).
        address: the destination's IP address, after the application's own lookup.
        host: the request's Host header, for ``http``; lower case.
        sni: the handshake's server name, for ``tls``; lower case, empty when there is none.
        path: path and query, for ``http``.
        method: the request's.
        headers: further ones, by their names.
        inner: what is inside the handshake, for a proxy that ends TLS itself.
        http2: the request is HTTP/2 without TLS (prior knowledge), as gRPC's.
    """

    port: int
    protocol: Protocol
    address: str = _ANYWHERE
    host: str = ""
    sni: str = ""
    path: str = "/"
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=lambda: _NO_HEADERS)
    http2: bool = False
    inner: Literal["http", "tcp"] = "tcp"

    @property
    def destination(self) -> str:
        """Address and port as they are written: ``192.0.2.1:443``, ``[2001:db8::1]:443``."""
        return (
            f"[{self.address}]:{self.port}"
            if ":" in self.address
            else f"{self.address}:{self.port}"
        )

    @classmethod
    def from_json(cls, call: Mapping[str, Any]) -> Call:
        """Read a call as the batch mode of ``pytest-egress probe`` takes it."""
        return cls(
            call["port"],
            call["protocol"],
            call.get("address") or _ANYWHERE,
            call.get("host", "").lower(),
            call.get("sni", "").lower(),
            call.get("path") or "/",
            call.get("method") or "GET",
            call.get("headers") or {},
        )

    @classmethod
    def to(cls, target: Target, address: str) -> Call:
        """The call that a probe of ``target`` makes once its name has resolved to ``address``."""
        if target.scheme == "tcp":
            return cls(target.port, "tcp", address)
        sni = "" if is_address(target.name) or not target.secure else target.name
        if target.scheme == "tls":
            return cls(target.port, "tls", address, sni=sni)
        grpc = target.scheme in {"grpc", "grpcs"}
        return cls(
            target.port,
            "tls" if target.secure else "http",
            address,
            host=target.authority,
            sni=sni,
            path=target.path or "/",
            method="POST" if grpc else "GET",
            headers={"content-type": "application/grpc"} if grpc else _NO_HEADERS,
            http2=grpc,
            inner="http",
        )

"""Probes and lookups from the pod; each probe tells the source address of its connection."""

from __future__ import annotations

import socket
import threading
from typing import Any

from pytest_egress.backends.agent.inside.ports import SourcePorts
from pytest_egress.probe.codec import from_json, to_json
from pytest_egress.probe.options import Options
from pytest_egress.probe.prober import Prober, connect
from pytest_egress.probe.resolver import DnsResolver, Resolver, SystemResolver
from pytest_egress.probe.target import Target

__all__ = ["Probing"]

_FAMILIES = {"A": socket.AF_INET, "AAAA": socket.AF_INET6, "any": socket.AF_UNSPEC}


class Probing:
    """Makes attempts; what is dear to make is kept for the next one."""

    def __init__(self, ports: SourcePorts) -> None:
        self._ports = ports
        self._probers: dict[tuple[str | None, tuple[str, int] | None], Prober] = {}
        self._dialled = threading.local()

    def probe(self, request: dict[str, Any]) -> dict[str, Any]:
        """Make the attempt of a request: ``target``, ``options``, ``ca_file``, ``dns``."""
        target = from_json(Target, request["target"])
        options = from_json(Options, request["options"])
        self._dialled.source = ""
        attempt = self._prober(request).attempt(target, options)
        return {"attempt": to_json(attempt, lean=True), "source": self._dialled.source}

    def lookup(self, request: dict[str, Any]) -> dict[str, Any]:
        """Look ``name`` up, for the ``family`` A, AAAA or any, within ``timeout`` seconds."""
        answer = _resolver(_server(request)).lookup(
            request["name"], _FAMILIES[request["family"]], request["timeout"]
        )
        return {"answer": to_json(answer)}

    def _prober(self, request: dict[str, Any]) -> Prober:
        key = (request.get("ca_file"), _server(request))
        prober = self._probers.get(key)
        if prober is None:
            prober = Prober(self._dial, _resolver(key[1]), ca_file=key[0])
            self._probers[key] = prober
        return prober

    def _dial(self, address: str, port: int, timeout: float) -> socket.socket:
        sock = connect(address, port, timeout, bind=self._ports.bind)
        host, number = sock.getsockname()[:2]
        self._dialled.source = f"[{host}]:{number}" if ":" in host else f"{host}:{number}"
        return sock


def _server(request: dict[str, Any]) -> tuple[str, int] | None:
    server = request.get("dns")
    return None if server is None else (str(server[0]), int(server[1]))


def _resolver(server: tuple[str, int] | None) -> Resolver:
    return SystemResolver() if server is None else DnsResolver(server)

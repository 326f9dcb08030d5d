"""Which calls, from which workloads, may tell two contracts apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from pytest_egress.contract.contract import Contract
from pytest_egress.contract.resources import Workload
from pytest_egress.decide.call import Call, Protocol
from pytest_egress.probe.target import is_address

if TYPE_CHECKING:
    from pytest_egress.contract.virtual_service.resource import HttpMatch

__all__ = ["ELSEWHERE", "Question", "questions", "workloads"]

_NOBODY = "any-other-host.example"
#: The namespace that stands for all that nobody names.
ELSEWHERE = "any-other-namespace"
_MOST_REQUESTS = 50  # for one host
_PROTOCOLS: tuple[Protocol, ...] = ("http", "tls", "tcp")
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class _Request:
    """What of an HTTP request a VirtualService may ask for."""

    path: str = "/"
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """One call that is made under both contracts.

    Attributes:
        host: that is called; empty for a host that nobody declares.
        shown: the declared host, which may be a wildcard.
        port: the destination's.
        protocol: as `Call.protocol`.
        path: of the request, for ``http``.
        method: of the request.
        headers: of the request, beside Host.
    """

    host: str
    shown: str
    port: int
    protocol: Protocol
    path: str = "/"
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=lambda: _NO_HEADERS, hash=False)

    @property
    def target(self) -> str:
        """What is called, for people."""
        return f"{self.shown or 'any other host'}:{self.port}"

    @property
    def how(self) -> str:
        """With what it is called, for people."""
        if self.protocol != "http":
            return {"tls": "TLS", "tcp": "TCP"}[self.protocol]
        more = [] if self.method == "GET" else [self.method]
        more += [] if self.path == "/" else [self.path]
        more += [f"{name}: {value}" for name, value in self.headers.items()]
        return " ".join(("HTTP", *more))

    def call(self, address: str) -> Call:
        """The call, once its name has resolved to ``address``."""
        host = self.host or _NOBODY
        named = "" if is_address(host) else host
        return Call(
            self.port,
            self.protocol,
            address,
            host=host if self.port == 80 else f"{host}:{self.port}",
            sni=named if self.protocol == "tls" else "",
            path=self.path,
            method=self.method,
            headers=self.headers,
            inner="http" if self.protocol != "tcp" else "tcp",
        )

    @property
    def name(self) -> str:
        """The name that is looked up."""
        return self.host or _NOBODY


def questions(*contracts: Contract) -> list[Question]:
    """The calls to ask, each once: every declared host on every port, in every protocol.

    Wildcards are asked for one name below them, and each port for a host that nobody declares. HTTP
    is asked with what VirtualServices for the host match.
    """
    hosts: dict[str, set[int]] = {}
    requests: dict[str, dict[_Request, None]] = {}
    for contract in contracts:
        for entry in contract.service_entries:
            for host in entry.hosts:
                hosts.setdefault(host.lower(), set()).update(it.number for it in entry.ports)
        for host, request in _requests(contract):
            requests.setdefault(host, {})[request] = None
    everywhere = {port for ports in hosts.values() for port in ports}
    found = [
        question
        for shown in sorted(hosts)
        for port in sorted(hosts[shown])
        for question in _of(shown, port, requests)
    ]
    for port in sorted(everywhere):
        found += (Question("", "", port, protocol) for protocol in _PROTOCOLS)
    return found


def _of(shown: str, port: int, requests: Mapping[str, Iterable[_Request]]) -> Iterator[Question]:
    host = f"any{shown[1:]}" if shown.startswith("*.") else shown.replace("*", "any")
    asked = {_Request(): None}
    for pattern, known in requests.items():
        if pattern == shown or (pattern.startswith("*") and host.endswith(pattern[1:])):
            asked.update(dict.fromkeys(known))
    for request in list(asked)[:_MOST_REQUESTS]:
        headers = dict(request.headers)
        yield Question(host, shown, port, "http", request.path, request.method, headers)
    yield Question(host, shown, port, "tls")
    yield Question(host, shown, port, "tcp")


def _requests(contract: Contract) -> Iterator[tuple[str, _Request]]:
    """What the HTTP matches of VirtualServices ask for, by host."""
    for service in contract.virtual_services:
        for rule in service.http:
            for match in rule.match:
                for host in service.hosts:
                    yield host.lower(), _request(match)


def _request(match: HttpMatch) -> _Request:
    """A request that meets a match, as far as it names what it wants."""
    path, method = "/", "GET"
    if match.uri is not None and match.uri.kind != "regex":
        path = match.uri.value or "/"
    if match.method is not None and match.method.kind == "exact":
        method = match.method.value
    headers = tuple(
        (name, wanted.value)
        for name, wanted in sorted(match.headers.items())
        if wanted.kind != "regex"
    )
    return _Request(path, method, headers)


def workloads(*contracts: Contract, dns_capture: bool = False) -> list[Workload]:
    """Those whom the contracts tell apart: namespaces, and labels that selectors name.

    A namespace that nobody names stands for all others.
    """
    found: dict[tuple[str, tuple[tuple[str, str], ...]], None] = {}

    def add(namespace: str, labels: Mapping[str, str] | None = None) -> None:
        found[namespace, tuple(sorted((labels or {}).items()))] = None

    for contract in contracts:
        roots = {contract.mesh.root_namespace}
        exported = [(it.metadata, it.export_to) for it in contract.service_entries]
        exported += [(it.metadata, it.export_to) for it in contract.virtual_services]
        for metadata, export_to in exported:
            for name in export_to:
                if name not in {"*", ".", "~"}:
                    add(name)
            if export_to and metadata.namespace not in roots:
                add(metadata.namespace)
        for sidecar in contract.sidecars:
            if sidecar.metadata.namespace not in roots:
                add(sidecar.metadata.namespace)
                add(sidecar.metadata.namespace, sidecar.workload_selector)
        for rule in contract.destination_rules:
            add(rule.metadata.namespace)
            add(rule.metadata.namespace, rule.workload_selector)
        for service in contract.virtual_services:
            matches = [it for route in service.http for it in route.match]
            sources = [(it.source_namespace, it.source_labels) for it in matches]
            sources += [
                (it.source_namespace, it.source_labels) for tls in service.tls for it in tls.match
            ]
            sources += [
                (it.source_namespace, it.source_labels) for tcp in service.tcp for it in tcp.match
            ]
            for namespace, labels in sources:
                if namespace or labels:
                    add(namespace or service.metadata.namespace, labels)
    listed = [
        Workload(namespace, dict(labels), dns_capture=dns_capture)
        for namespace, labels in sorted(found)
    ]
    return [*listed, Workload(ELSEWHERE, dns_capture=dns_capture)]

"""What a declaration promises, as checks: pure functions from a contract to expectations.

Each declared host and port gives some of these, as istiod programs a proxy for it:

``reachable``   what the declared protocol speaks is answered by the declared upstream
``inside``      a name below a wildcard is; ``deep``: one two levels below it is as well
``outside``     the name that a wildcard hangs from is not declared by it
``resolution``  an address other than the declared host's is dialled: the resolution decides who
                answers (NONE: that address, STATIC: an endpoint, DNS: the host)
``neighbour``   a name beside the host, on the same port, is refused
``sni``         the host's address with the server name of an undeclared host is refused
``plain-http``  plain HTTP to a port of TLS is refused
``undeclared``  the host on a port that nothing declares is refused
``resolves``    Istio's agent resolves the host to the addresses that are declared or allocated
``hidden``      a host that is exported to nobody here is refused

A check is left out where istiod does not do so for what is declared: a TLS port with an address
has no check of server names, a TCP port without an address takes every address.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_network
from typing import Any, Literal

from pytest_egress.collection.names import covered, free_port, inside, neighbour
from pytest_egress.collection.requests import ruled_name, way_of
from pytest_egress.collection.views import View, Views, hidden_on_purpose
from pytest_egress.contract.contract import Contract
from pytest_egress.contract.position import Position
from pytest_egress.contract.resources import EgressListener, Port, ServiceEntry, Workload
from pytest_egress.envoy.names import cluster_name, is_ip
from pytest_egress.envoy.protocols import HTTP, SNIFFED, TLS, Protocol, parse_protocol
from pytest_egress.expectations import Expectation
from pytest_egress.report.nearest import matches

__all__ = ["Check", "plan"]

#: Dialled where it must not matter what is dialled (TEST-NET-2, RFC 5737).
_ELSEWHERE = "198.51.100.77"
_RESERVED = {15000, 15001, 15006, 15008, 15020, 15021, 15053, 15090}


@dataclass(frozen=True, slots=True)
class Check:
    """One check of a declaration.

    Attributes:
        entry: the ServiceEntry that declares it.
        host: the host as written.
        port: the port that is dialled.
        protocol: as declared, ``?`` where it is not.
        kind: which check it is, see the module.
        expectation: what must hold; its position is what it is about.
        workload: from where.
    """

    entry: ServiceEntry
    host: str
    port: int
    protocol: str
    kind: str
    expectation: Expectation
    workload: Workload

    @property
    def position(self) -> Position:
        """The place in the file that it is about."""
        assert self.expectation.position is not None
        return self.expectation.position

    @property
    def name(self) -> str:
        """``host[port/protocol-kind]``."""
        return f"{self.host}[{self.port}/{self.protocol}-{self.kind}]"


def plan(
    contract: Contract, workload: Workload | None = None, *, dns_capture: bool = False
) -> Iterator[Check]:
    """The checks of every ServiceEntry of a contract, in its order.

    Args:
        contract: all that is declared, with the mesh that it is declared in.
        workload: who asks; None: for each entry a workload that is to see it.
        dns_capture: whether Istio's agent resolves names, where no ``workload`` is given.
    """
    views = Views(contract, workload, dns_capture=dns_capture)
    planner = _Planner(views.contract)
    for entry in views.contract.service_entries:
        for index, host in enumerate(dict.fromkeys(entry.hosts)):
            view = views.of(entry, host)
            yield from planner.checks(_Declared(entry, index, host, view))


@dataclass(frozen=True, slots=True)
class _Declared:
    """A host of an entry, and the view it is checked from."""

    entry: ServiceEntry
    index: int
    host: str
    view: View

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses that its listeners are bound to; networks are none."""
        if self.entry.addresses:
            return self.entry.addresses
        if not self.view.workload.dns_capture:
            return ()
        return tuple(value for host, value in self.entry.status_addresses if host == self.host)

    @property
    def bound(self) -> bool:
        """Whether it is told apart by its address: then nobody looks at server names."""
        return any(is_ip(it) or ip_network(it, strict=False).num_addresses == 1
                   for it in self.addresses)  # fmt: skip

    @property
    def wildcard(self) -> bool:
        """Whether it stands for many names."""
        return self.host.startswith("*")


class _Planner:
    """Makes the checks of one contract's declarations."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._covered = covered(contract)
        self._ports = _RESERVED | _numbers(contract)
        self._declaring: dict[tuple[str, str], list[ServiceEntry]] = defaultdict(list)
        for entry in contract.service_entries:
            for host in dict.fromkeys(entry.hosts):
                self._declaring[entry.metadata.namespace, host].append(entry)

    def checks(self, declared: _Declared) -> Iterator[Check]:
        """All checks of a host."""
        entry, view = declared.entry, declared.view
        ports = [
            (i, port)
            for i, port in enumerate(entry.ports)
            if parse_protocol(port.protocol) != "UDP"
        ]
        if not view.sees(entry, declared.host) and hidden_on_purpose(view, entry):
            yield from self._hidden(declared, ports)
            return
        for i, port in ports:
            yield from self._of_port(declared, i, port)
        yield from self._of_host(declared, ports)

    def _of_port(self, declared: _Declared, index: int, port: Port) -> Iterator[Check]:
        protocol = parse_protocol(port.protocol)
        scope = declared.view.listener_of(declared.entry, declared.host, port.number)
        listener = scope.listener if scope is not None else None
        own = listener is not None and listener.port is not None
        if own and listener is not None and listener.port is not None:
            # One port of a Sidecar for several services: its protocol is what is spoken there.
            protocol = parse_protocol(listener.port.protocol)
        if not _dialable(declared) or (listener is not None and _aside(listener)):
            return
        make = _Maker(declared, port, index)
        name = inside(declared.host)
        if declared.wildcard and protocol in TLS:
            name = ruled_name(declared.view.program, declared.host, port.number) or name
        for scheme in _schemes(protocol):
            way = way_of(declared.view.program, name, port.number, scheme)
            if way is None:
                continue
            kind = "inside" if declared.wildcard else "reachable"
            suffix = f"-{scheme}" if protocol == SNIFFED else ""
            yield make(f"{kind}{suffix}", "reachable", scheme, name, way.options)
            if declared.wildcard and scheme != "tcp" and not way.ruled:
                deep = inside(declared.host, deep=True)
                yield make(f"deep{suffix}", "reachable", scheme, deep, way.options)
            if scope is not None and not own and not way.ruled:
                yield from self._resolution(make, declared, scheme, name, port.number)
        if scope is not None and declared.view.closed and not own:
            yield from self._refusals(make, declared, protocol)

    def _resolution(
        self, make: _Maker, declared: _Declared, scheme: str, name: str, port: int
    ) -> Iterator[Check]:
        """Who answers where the address that is dialled is not the host's."""
        entry = declared.entry
        if scheme == "tcp" or declared.addresses:
            return
        if entry.resolution == "NONE" or _passes_through(declared, port):
            upstream: tuple[str, ...] = (_ELSEWHERE,)
        else:
            # Entries of one namespace share the endpoints of a host. What answers at one is known
            # by the name of the host that it belongs to.
            entries = self._sharing(declared)
            if any(it.workload_selector is not None for it in entries):
                return
            upstream = (name, *(end.address for it in entries for end in it.endpoints))
        yield make(
            "resolution", "reachable", scheme, name, {"address": _ELSEWHERE}, upstream=upstream
        )

    def _refusals(self, make: _Maker, declared: _Declared, protocol: Protocol) -> Iterator[Check]:
        other = neighbour(declared.host, self._covered)
        name = inside(declared.host)
        scheme = _schemes(protocol)[0]
        by_name = protocol in HTTP or protocol in TLS or protocol == SNIFFED
        if other and (by_name or declared.addresses):
            yield make("neighbour", "blocked", scheme, other)
        if declared.wildcard and by_name:
            apex = declared.host.lstrip("*").lstrip(".").lower()
            if "." in apex and not self._covered(apex) and declared.host.startswith("*."):
                yield make("outside", "blocked", scheme, apex)
        if protocol in TLS and not declared.bound:
            if other:
                yield make("sni", "blocked", "tls", name, {"sni": other})
            yield make("plain-http", "blocked", "http", name)

    def _of_host(self, declared: _Declared, ports: list[tuple[int, Port]]) -> Iterator[Check]:
        if not ports or not _dialable(declared):
            return
        index, port = ports[0]
        if declared.view.closed:
            scheme = _schemes(parse_protocol(port.protocol))[0]
            number = free_port(scheme, port.number, self._ports)
            yield _Maker(declared, port, index)(
                "undeclared", "blocked", scheme, inside(declared.host), number=number
            )
        if not declared.view.workload.dns_capture:
            return
        addresses = tuple(
            dict.fromkeys(
                address
                for entry in self._sharing(declared)
                if declared.view.sees(entry, declared.host)
                for address in _plain(entry, declared.host)
            )
        )
        # Of several addresses istiod keeps one where a Sidecar names the host exactly.
        if addresses and declared.view.addresses[declared.host].issuperset(addresses):
            yield Check(
                declared.entry,
                declared.host,
                port.number,
                port.protocol or "?",
                "resolves",
                Expectation(
                    "resolves",
                    inside(declared.host),
                    addresses,
                    position=declared.entry.at("spec", "hosts", declared.index),
                ),
                declared.view.workload,
            )

    def _sharing(self, declared: _Declared) -> list[ServiceEntry]:
        """The entries of its namespace that declare the host: it itself, and any others."""
        return self._declaring[declared.entry.metadata.namespace, declared.host]

    def _hidden(self, declared: _Declared, ports: list[tuple[int, Port]]) -> Iterator[Check]:
        """What is exported to nobody here is refused, unless somebody else declares it."""
        view = declared.view
        if not view.closed or not _dialable(declared):
            return
        name = inside(declared.host)
        others = [
            it
            for it in self._contract.service_entries
            if it is not declared.entry
            and any(matches(host, name) and view.sees(it, host) for host in it.hosts)
        ]
        for index, port in ports:
            taken = {it.number for other in others for it in other.ports}
            if port.number not in taken:
                scheme = _schemes(parse_protocol(port.protocol))[0]
                yield _Maker(declared, port, index)("hidden", "blocked", scheme, name)


@dataclass(frozen=True, slots=True)
class _Maker:
    """Makes checks of one port of a host."""

    declared: _Declared
    port: Port
    index: int

    def __call__(
        self,
        kind: str,
        expected: Literal["reachable", "blocked"],
        scheme: str,
        name: str,
        options: dict[str, Any] | None = None,
        *,
        number: int = 0,
        upstream: tuple[str, ...] | None = None,
    ) -> Check:
        entry = self.declared.entry
        options = dict(options or {})
        path = options.pop("path", "")
        if self.port.protocol.upper() == "HTTP2" and expected == "reachable" and scheme == "http":
            options["http_version"] = "2"
        at = ("hosts", self.declared.index) if number else ("ports", self.index)
        expectation = Expectation(
            expected,
            f"{scheme}://{name}:{number or self.port.number}{path}",
            options=options,
            upstream=upstream,
            position=entry.at("spec", *at),
        )
        return Check(
            entry,
            self.declared.host,
            number or self.port.number,
            self.port.protocol or "?",
            kind,
            expectation,
            self.declared.view.workload,
        )


def _schemes(protocol: Protocol) -> tuple[str, ...]:
    """What is spoken to a port of a protocol; both where Istio tells it by the first bytes."""
    if protocol == SNIFFED:
        return "http", "tcp"
    if protocol == "GRPC":
        return ("grpc",)
    if protocol in HTTP:
        return ("http",)
    return ({"HTTPS": "https", "TLS": "tls"}.get(protocol, "tcp"),)


def _aside(listener: EgressListener) -> bool:
    """Whether a listener of a Sidecar takes only what is sent to an address of its own."""
    return listener.capture_mode == "NONE" or listener.bind not in {"", "0.0.0.0"}  # noqa: S104  read


def _dialable(declared: _Declared) -> bool:
    """Whether the pod, which has no IPv6 address, can dial one of its addresses."""
    addresses = declared.addresses
    return not addresses or any(
        isinstance(ip_network(it, strict=False), IPv4Network) for it in addresses
    )


def _passes_through(declared: _Declared, port: int) -> bool:
    """Whether the rule of a DestinationRule lets the dialled address decide (PASSTHROUGH)."""
    program, name = declared.view.program, cluster_name(declared.host, port)
    return name in program.shaped and any(
        it["name"] == name and it.get("type") == "ORIGINAL_DST" for it in program.clusters
    )


def _plain(entry: ServiceEntry, host: str) -> Iterator[str]:
    """The IPv4 addresses of a host that Istio's agent answers with."""
    values = entry.addresses or tuple(v for name, v in entry.status_addresses if name == host)
    for value in values:
        network = ip_network(value, strict=False)
        if isinstance(network, IPv4Network) and network.num_addresses == 1:
            yield str(network[0])


def _numbers(contract: Contract) -> set[int]:
    """Every port that something in a contract speaks of."""
    found = {port.number for entry in contract.service_entries for port in entry.ports}
    found |= {port.target_port for entry in contract.service_entries for port in entry.ports}
    found |= {port.number for it in contract.kubernetes_services for port in it.ports}
    found |= {
        listener.port.number
        for sidecar in contract.sidecars
        for listener in sidecar.egress
        if listener.port is not None
    }
    return found

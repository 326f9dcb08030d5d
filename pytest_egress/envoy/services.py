"""ServiceEntries fanned out into Istio's internal services: one per host and address."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal

from pytest_egress.contract.allocation import may_have_allocated
from pytest_egress.contract.contract import Contract
from pytest_egress.contract.resources import Resolution, ServiceEntry, Workload
from pytest_egress.envoy.names import WILDCARD_ADDRESS, is_ip, is_wildcard, parse_prefix
from pytest_egress.envoy.protocols import Protocol, parse_protocol

__all__ = ["Service", "ServicePort", "convert_entry", "convert_services"]

_CONNECT_STRATEGY = "istio.io/connect-strategy"
_DISTRIBUTION = "networking.istio.io/traffic-distribution"
_DISTRIBUTIONS: dict[str, Literal["zone", "node"]] = {
    "preferclose": "zone",
    "prefersamezone": "zone",
    "prefersamenode": "node",
}


@dataclass(frozen=True, slots=True)
class ServicePort:
    """A port of a service; ``protocol`` is parsed, not as written."""

    number: int
    name: str
    protocol: Protocol


@dataclass(frozen=True, slots=True, eq=False)
class Service:
    """One host at one address, as istiod's registry holds it.

    Attributes:
        host: the host as written; upper case survives in cluster names.
        address: an IP, a CIDR, or ``0.0.0.0`` for none. With DNS capture it is the address that
            was allocated in ``status.addresses``.
        ports: all ports of the entry, or fewer where a Sidecar listener picked one, or more where
            services of one host were merged.
        entry: the ServiceEntry that declares it.
    """

    host: str
    address: str
    ports: tuple[ServicePort, ...]
    entry: ServiceEntry

    @property
    def namespace(self) -> str:
        """The namespace of the declaring entry."""
        return self.entry.metadata.namespace

    @property
    def resolution(self) -> Resolution:
        """The entry's resolution."""
        return self.entry.resolution

    @property
    def of_kubernetes(self) -> bool:
        """Whether it is a Kubernetes Service."""
        return self.entry.registry == "Kubernetes"

    @property
    def mesh_external(self) -> bool:
        """Whether the entry's location is MESH_EXTERNAL, the default."""
        return self.entry.location == "MESH_EXTERNAL"

    @property
    def dynamic_wildcard(self) -> bool:
        """Whether Envoy resolves the name of each connection (DYNAMIC_DNS and ``*.host``)."""
        return self.entry.resolution == "DYNAMIC_DNS" and is_wildcard(self.host)

    @property
    def races_connections(self) -> bool:
        """Whether the annotation ``istio.io/connect-strategy: RACE_FIRST_TCP_CONNECT`` is set."""
        strategy = self.entry.metadata.annotations.get(_CONNECT_STRATEGY, "")
        return strategy.upper() == "RACE_FIRST_TCP_CONNECT"

    @property
    def traffic_distribution(self) -> Literal["zone", "node"] | None:
        """The place that ``networking.istio.io/traffic-distribution`` prefers, if any."""
        annotations = self.entry.metadata.annotations
        return (
            _DISTRIBUTIONS.get(annotations.get(_DISTRIBUTION, "").lower()) if annotations else None
        )

    def port(self, number: int) -> ServicePort | None:
        """The first port with that number; UDP ports do not count."""
        for port in self.ports:
            if port.number == number and port.protocol != "UDP":
                return port
        return None


def convert_services(contract: Contract, workload: Workload) -> list[Service]:
    """All services of a contract, oldest first.

    Order (istiod's ``SortServicesByCreationTime``): creation time, host, namespace. Istiod leaves
    further ties to chance; here they go by the entry's name, then by the order of addresses.
    """
    services = [
        service for entry in contract.service_entries for service in convert_entry(entry, workload)
    ]
    if contract.speaks_of_services:
        from pytest_egress.envoy.kubernetes import kubernetes_entries

        for entry in kubernetes_entries(contract):
            services.extend(convert_entry(entry, workload))
    services.sort(key=_age)
    return services


def convert_entry(entry: ServiceEntry, workload: Workload) -> Iterator[Service]:
    """The services of one entry: each host at each address, all with all ports."""
    ports = tuple(
        ServicePort(port.number, port.name, parse_protocol(port.protocol)) for port in entry.ports
    )
    # A host or an address written twice is one resource to istiod.
    hosts: Iterable[str] = entry.hosts if len(entry.hosts) == 1 else dict.fromkeys(entry.hosts)
    if entry.addresses:
        addresses = dict.fromkeys(filter(None, map(_listening_address, entry.addresses)))
        for host in hosts:
            for address in addresses:
                yield Service(host, address, ports, entry)
        return
    allocated = _allocated(entry) if workload.dns_capture else {}
    for host in hosts:
        yield Service(host, allocated.get(host, WILDCARD_ADDRESS), ports, entry)


def _age(service: Service) -> tuple[float, str, str, str]:
    metadata = service.entry.metadata
    return (metadata.creation_timestamp, service.host, metadata.namespace, metadata.name)


def _listening_address(text: str) -> str:
    """An IP or a CIDR as text; a full-length prefix becomes its IP, anything else is dropped."""
    if is_ip(text):
        return text
    prefix = parse_prefix(text)
    if prefix is None:
        return ""
    return str(prefix.ip) if prefix.network.num_addresses == 1 else text


def _allocated(entry: ServiceEntry) -> dict[str, str]:
    """IPv4 addresses of ``status.addresses`` by host, where Istio lets a proxy use them."""
    if not may_have_allocated(entry):
        return {}
    return {
        host: value
        for host, value in entry.status_addresses
        if is_ip(value) and ip_address(value).version == 4
    }

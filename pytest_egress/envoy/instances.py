"""Where services lead to: the endpoints that entries and WorkloadEntries declare for a host."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from pytest_egress.contract.contract import Contract
from pytest_egress.contract.resources import Endpoint, ServiceEntry, WorkloadEntry
from pytest_egress.envoy.names import UNIX_PREFIX, is_ip, labels_match
from pytest_egress.envoy.services import Service

__all__ = ["Instance", "Registry", "topology_labels"]

_DNS = ("DNS", "DNS_ROUND_ROBIN")
_NETWORK = "topology.istio.io/network"
_HEALTH_CHECKS = "proxy.istio.io/health-checks-enabled"
_TRUE = {"1", "t", "T", "TRUE", "true", "True"}
_NO_LABELS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, eq=False)
class Instance:
    """One endpoint of one service port.

    Attributes:
        address: IP, host name, path of a Unix socket (``port`` is then 0) or empty.
        port: the port to dial.
        service_port: number of the service port it serves.
        port_name: name of the service port it serves.
        locality: ``region/zone/subzone``, possibly empty.
        weight: at least 1.
        tls_mode: ``istio`` where the endpoint takes Istio's mutual TLS, else ``disabled`` or
            what its label says.
        identity: SPIFFE name of its service account, possibly empty.
        labels: its own and those of its place; what subsets and failover look at.
        ready: Kubernetes says so; nothing says it of a ServiceEntry's endpoint.
    """

    address: str
    port: int
    service_port: int
    port_name: str
    locality: str = ""
    weight: int = 1
    tls_mode: str = "disabled"
    identity: str = ""
    labels: Mapping[str, str] = field(default_factory=lambda: _NO_LABELS)
    ready: bool = False


class Registry:
    """All services of a contract with their instances, as istiod's registry keeps them.

    Instances belong to a namespace and host, not to an entry: entries that declare the same host
    in one namespace share them, visible or not.
    """

    def __init__(self, contract: Contract, services: Sequence[Service]) -> None:
        """``services`` are all of the contract, oldest first."""
        self._workloads = _workloads(contract.workload_entries)
        self._trust_domain = contract.mesh.trust_domain.replace("@", ".")
        self._by_host: dict[tuple[str, str], list[Service]] = {}
        for service in services:
            self._by_host.setdefault((service.namespace, service.host), []).append(service)
        self._instances: dict[tuple[str, str], list[Instance]] = {}

    def instances(self, service: Service) -> list[Instance]:
        """The instances of the service's namespace and host, all ports, oldest entry first."""
        key = (service.namespace, service.host)
        found = self._instances.get(key)
        if found is None:
            found = self._instances[key] = self._merge(self._by_host[key])
        return found

    def identities(self, service: Service) -> list[str]:
        """Names that the service's certificate may carry, sorted.

        They are the ``subjectAltNames`` of the youngest entry of the host (each one overwrites
        the one before) and the service accounts of all its endpoints.
        """
        youngest = self._by_host[service.namespace, service.host][-1]
        names = set(youngest.entry.subject_alt_names)
        names.update(it.identity for it in self.instances(service) if it.identity)
        return sorted(names)

    def _merge(self, services: Iterable[Service]) -> list[Instance]:
        merged: list[Instance] = []
        ports: set[int] = set()
        for service in services:
            for instance in self._of(service):
                # Envoy's LOGICAL_DNS takes one endpoint: the first one of a port wins.
                if service.resolution == "DNS_ROUND_ROBIN" and instance.service_port in ports:
                    continue
                merged.append(instance)
                ports.add(instance.service_port)
        return merged

    def _of(self, service: Service) -> Iterator[Instance]:
        entry = service.entry
        if entry.workload_selector is not None:
            dns = entry.resolution in _DNS
            for workload, labels in self._workloads.get(service.namespace, ()):
                selected = labels_match(entry.workload_selector, labels)
                if selected and (dns or workload.address == "" or is_ip(workload.address)):
                    yield from self._endpoint_instances(entry, workload, labels)
        elif entry.endpoints:
            for endpoint in entry.endpoints:
                labels = _placed(endpoint, endpoint.labels)
                yield from self._endpoint_instances(entry, endpoint, labels)
        elif entry.resolution in _DNS:
            for port in entry.ports:
                yield Instance(
                    service.host, port.target_port or port.number, port.number, port.name
                )

    def _endpoint_instances(
        self, entry: ServiceEntry, endpoint: Endpoint, labels: Mapping[str, str]
    ) -> Iterator[Instance]:
        """An instance per service port.

        The port to dial: that of ``endpoint.ports``, else ``targetPort``, else the service port.
        """
        namespace = entry.metadata.namespace
        locality = endpoint.locality or _locality_label(labels)
        pod = entry.registry == "Kubernetes"
        default_mode = "istio" if endpoint.service_account and not pod else "disabled"
        tls_mode = labels.get("security.istio.io/tlsMode", default_mode)
        identity = ""
        if endpoint.service_account or pod:
            identity = f"spiffe://{self._trust_domain}/ns/{namespace}/sa/{endpoint.service_account}"
        unix = endpoint.address.startswith(UNIX_PREFIX)
        address = endpoint.address.removeprefix(UNIX_PREFIX)
        for port in entry.ports:
            number = endpoint.ports.get(port.name, 0) or port.target_port or port.number
            yield Instance(
                address,
                0 if unix else number,
                port.number,
                port.name,
                locality,
                endpoint.weight or 1,
                tls_mode,
                identity,
                labels,
                ready=pod,
            )


def _workloads(
    entries: Iterable[WorkloadEntry],
) -> dict[str, list[tuple[Endpoint, Mapping[str, str]]]]:
    """WorkloadEntries by namespace, by name, each with its effective labels.

    Labels of the metadata override those of the spec. One that asks for health checks counts as
    unhealthy, because no probe has reported: a file has no such status.
    """
    found: dict[str, list[tuple[Endpoint, Mapping[str, str]]]] = {}
    for entry in sorted(entries, key=lambda it: it.metadata.name):
        metadata, endpoint = entry.metadata, entry.endpoint
        if metadata.annotations.get(_HEALTH_CHECKS) in _TRUE:
            continue
        labels = _placed(endpoint, {**endpoint.labels, **metadata.labels})
        found.setdefault(metadata.namespace, []).append((endpoint, labels))
    return found


def _placed(endpoint: Endpoint, labels: Mapping[str, str]) -> Mapping[str, str]:
    """The labels and those that tell where the endpoint is (istiod's ``AugmentLabels``)."""
    locality = endpoint.locality or _locality_label(labels)
    if not locality and not endpoint.network:
        return labels
    placed = {**labels, **dict(topology_labels(locality))}
    if endpoint.network and not placed.get(_NETWORK):
        placed[_NETWORK] = endpoint.network
    return placed


def _locality_label(labels: Mapping[str, str]) -> str:
    text = labels.get("topology.istio.io/locality", labels.get("istio-locality", ""))
    # A Kubernetes label cannot hold a slash, so a dot may stand for it.
    return text if "/" in text else text.replace(".", "/")


def topology_labels(locality: str) -> Iterator[tuple[str, str]]:
    """The Kubernetes labels that say the same as ``region/zone/subzone``."""
    keys = (
        "topology.kubernetes.io/region",
        "topology.kubernetes.io/zone",
        "topology.istio.io/subzone",
    )
    for key, part in zip(keys, locality.split("/"), strict=False):
        if part:
            yield key, part

"""What the resources of a contract declare: hosts and ports, subsets, gateways, delegates."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from heapq import nlargest
from types import MappingProxyType
from typing import TYPE_CHECKING

from pytest_egress.contract.kubernetes.inferred import full_name
from pytest_egress.contract.resources import Resource, ServiceEntry, Sidecar
from pytest_egress.contract.suggest import nearest
from pytest_egress.contract.syntax import HTTP_PROTOCOLS
from pytest_egress.contract.virtual_service.resource import VirtualService

if TYPE_CHECKING:
    from pytest_egress.contract.destination_rule.resource import DestinationRule
    from pytest_egress.contract.kubernetes.resource import KubernetesService

__all__ = ["HTTP_WITHOUT_HOST", "MESH", "Declared", "is_cluster_host"]

MESH = "mesh"
#: The port on which istiod makes a virtual host for a host that nobody declares.
HTTP_WITHOUT_HOST = 80
_CLUSTER = ".svc.cluster.local"
# A contract may declare thousands of hosts, and lack as many: comparing names is slow.
_MOST_COMPARED = 30
_MOST_MENDED = 100
_NO_PORTS: Mapping[int, str] = MappingProxyType({})


def is_cluster_host(host: str) -> bool:
    """Whether a full name is that of a Kubernetes Service."""
    return host.lower().rstrip(".").endswith(_CLUSTER)


class Declared:
    """The resources that others refer to, by the names they are referred to with.

    Attributes:
        hosts: ports (number and protocol in lower case) by host as written; UDP left out.
        services: ports of the Kubernetes Services, by their full names.
        gateways: ``namespace/name`` of each Gateway.
        listeners: ports that a sidecar listens on for hosts of other ports too.
        virtual_services: by ``namespace/name``.
        refused: kinds of which an object could not be read: what is missing may be there.
    """

    __slots__ = (
        "_below", "_lowered", "_nearest", "_partial", "_subsets", "gateways", "hosts", "listeners",
        "refused", "services", "virtual_services",
    )  # fmt: skip

    def __init__(self, resources: Iterable[Resource], refused: frozenset[str]) -> None:
        self.refused = refused
        self.hosts: dict[str, dict[int, str]] = {}
        self.services: dict[str, set[int]] = {}
        self.gateways: set[str] = set()
        self.listeners: set[int] = set()
        self.virtual_services: dict[str, VirtualService] = {}
        self._nearest: dict[str, str | None] = {}
        self._subsets: dict[str, list[str]] = defaultdict(list)
        for resource in resources:
            key = f"{resource.metadata.namespace}/{resource.metadata.name}"
            if isinstance(resource, ServiceEntry):
                proxies = (p.number for p in resource.ports if p.protocol.lower() == "http_proxy")
                self.listeners.update(proxies)
                for host in resource.hosts:
                    ports = self.hosts.setdefault(host, {})
                    ports.update({p.number: p.protocol.lower() for p in resource.ports})
            elif isinstance(resource, Sidecar):
                self.listeners.update(it.port.number for it in resource.egress if it.port)
            elif isinstance(resource, VirtualService):
                self.virtual_services[key] = resource
            elif type(resource).__name__ == "DestinationRule":
                self._add_subsets(resource)  # type: ignore[arg-type]
            elif type(resource).__name__ == "KubernetesService":
                self._add_service(resource)  # type: ignore[arg-type]
            elif type(resource).__name__ == "Gateway":
                self.gateways.add(key)
        self._index()

    def ports(self, host: str) -> Collection[int] | None:
        """The ports of a destination; None when its host is not declared in these letters."""
        ports = self.hosts.get(host)
        return self.services.get(host) if ports is None else ports.keys()

    def applied(self, host: str) -> Mapping[int, str]:
        """The ports of all declared hosts that a VirtualService for ``host`` is applied to."""
        found: dict[int, str] = {}
        for name in self._meant(host.lower()):
            found.update(self.hosts[name])
        return found

    def called(self, host: str) -> set[int]:
        """The ports on which http routes for ``host`` are taken; those of a wildcard are not."""
        exact = self._lowered.get(host.lower(), ())
        names = self._meant(host.lower()) if host.startswith("*") else exact
        return {
            number
            for name in names
            for number, protocol in self.hosts[name].items()
            if protocol in HTTP_PROTOCOLS or not protocol
        }

    def meant(self, host: str) -> Iterator[str]:
        """The declared hosts that a VirtualService for ``host`` is applied to."""
        return self._meant(host.lower())

    def knows(self, host: str) -> bool:
        """Whether a VirtualService for ``host`` is applied to any declared host."""
        return next(self.meant(host), None) is not None

    def wildcard(self, host: str) -> str | None:
        """The declared wildcard that covers ``host``; None when there is none."""
        return next(self._covering(host.lower()), None)

    def spelling(self, host: str) -> str | None:
        """How ``host`` is declared when only the case differs."""
        return next(iter(self._lowered.get(host.lower(), ())), None)

    def mend(self, host: str) -> str:
        """What to do about a host that nobody declares: it may be a misspelling."""
        if host not in self._nearest and len(self._nearest) < _MOST_MENDED:
            self._nearest[host] = nearest(host, self._similar(host), cutoff=0.8)
        near = self._nearest.get(host)
        if near is None:
            return "Add a ServiceEntry for it"
        return f'Did you mean "{near}"? If not, add a ServiceEntry for it'

    def subsets(self, host: str) -> list[str]:
        """The subsets that DestinationRules for ``host`` declare."""
        found = list(self._subsets.get(host, ()))
        for wildcard in _wildcards(host):
            found.extend(self._subsets.get(wildcard, ()))
        return found

    def _add_service(self, service: KubernetesService) -> None:
        self.services[service.host] = {port.number for port in service.ports}

    def _add_subsets(self, rule: DestinationRule) -> None:
        host = full_name(rule.host, rule.metadata.namespace)
        self._subsets[host].extend(subset.name for subset in rule.subsets)

    def _index(self) -> None:
        self._lowered: dict[str, list[str]] = defaultdict(list)
        self._below: dict[str, list[str]] = defaultdict(list)
        self._partial: list[str] = []
        for host, ports in self.hosts.items():
            for number in [number for number, protocol in ports.items() if protocol == "udp"]:
                del ports[number]
            lowered = host.lower()
            self._lowered[lowered].append(host)
            for wildcard in _wildcards(lowered):
                self._below[wildcard].append(host)
            if lowered.startswith("*") and not lowered.startswith("*."):
                self._partial.append(host)

    def _meant(self, host: str) -> Iterator[str]:
        yield from self._lowered.get(host, ())
        if host.startswith("*."):
            yield from self._below.get(host, ())
        elif host.startswith("*"):
            yield from (name for name in self.hosts if name.lower().endswith(host[1:]))
        yield from self._covering(host)

    def _covering(self, host: str) -> Iterator[str]:
        for wildcard in _wildcards(host):
            yield from self._lowered.get(wildcard, ())
        bare = host.removeprefix("*")
        yield from (name for name in self._partial if bare.endswith(name[1:].lower()))

    def _similar(self, host: str) -> list[str]:
        """The hosts that begin and end most alike."""
        name = host.lower()
        backwards = name[::-1]

        def alike(other: str) -> int:
            lowered = other.lower()
            return _common(name, lowered) + _common(backwards, lowered[::-1])

        return nlargest(_MOST_COMPARED, self.hosts, key=alike)


def _wildcards(host: str) -> Iterator[str]:
    """The wildcards of whole labels that cover a host, the most specific first."""
    _, dot, rest = host.partition(".")
    while dot:
        yield f"*.{rest}"
        _, dot, rest = rest.partition(".")


def _common(one: str, other: str) -> int:
    """How many characters both begin with."""
    count = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        count += 1
    return count

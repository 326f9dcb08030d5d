"""Who asks: for each declaration a workload that is to see it, and what its proxy is given."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from pytest_egress.contract.allocation import allocate
from pytest_egress.contract.contract import Contract
from pytest_egress.contract.resources import ServiceEntry, Workload
from pytest_egress.envoy import Program, compile_contract
from pytest_egress.envoy.scope import EgressScope, Scope, build_scope, select_sidecar
from pytest_egress.envoy.services import convert_services

__all__ = ["View", "Views"]


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """The contract as one workload sees it.

    Attributes:
        workload: who asks.
        contract: with the addresses that istiod allocates, where the workload heeds them.
        scope: what is visible to it.
        program: what its proxy is given.
        seen: the egress listener that imports each host on each port, by the identity of its entry.
        addresses: those that the proxy knows each host by.
    """

    workload: Workload
    contract: Contract
    scope: Scope
    program: Program
    seen: Mapping[tuple[int, str], Mapping[int, EgressScope]] = field(repr=False)
    addresses: Mapping[str, set[str]] = field(repr=False)

    def sees(self, entry: ServiceEntry, host: str) -> bool:
        """Whether a host of an entry is imported, on any port."""
        return (id(entry), host) in self.seen

    def listener_of(self, entry: ServiceEntry, host: str, port: int) -> EgressScope | None:
        """The egress listener of the Sidecar that imports a host of an entry on a port.

        The first of several; None: that port of it is hidden.
        """
        return self.seen.get((id(entry), host), {}).get(port)

    @property
    def closed(self) -> bool:
        """Whether what nothing declares is refused."""
        return self.scope.policy.mode == "REGISTRY_ONLY"


class Views:
    """The views of one contract, each made once.

    Args:
        contract: all that is declared.
        workload: who asks in every case; None: for each entry a workload that is to see it.
        dns_capture: whether Istio's agent resolves names, where no ``workload`` is given.
    """

    def __init__(
        self, contract: Contract, workload: Workload | None = None, *, dns_capture: bool = False
    ) -> None:
        self._given = workload
        self._dns_capture = workload.dns_capture if workload is not None else dns_capture
        self.contract = allocate(contract) if self._dns_capture else contract
        self._views: list[View] = []
        self._made: dict[tuple[str, tuple[tuple[str, str], ...]], View] = {}
        self._namespaces = dict.fromkeys(
            it.metadata.namespace for it in (*contract.service_entries, *contract.sidecars)
        )

    def of(self, entry: ServiceEntry, host: str) -> View:
        """The view to check a declaration from.

        That is of the entry's own namespace if it sees the host there, else of the first that it
        is exported to, else of any that sees it. Where nobody does it is the own namespace's, or
        the first that the entry is exported to.
        """
        if self._given is not None:
            return self._view(self._given.namespace, dict(self._given.labels))
        first: View | None = None
        for namespace, labels in self._candidates(entry):
            view = self._view(namespace, labels)
            if view.sees(entry, host):
                return view
            first = first or view
        assert first is not None
        return first

    def _candidates(self, entry: ServiceEntry) -> Iterator[tuple[str, dict[str, str]]]:
        own = entry.metadata.namespace
        named = [it for it in entry.export_to if it not in {"*", ".", "~"}]
        order = [own, *named, *self._namespaces]
        if named and not {"*", ".", own} & set(entry.export_to):
            order = [*named, own, *self._namespaces]
        for namespace in dict.fromkeys(order):
            yield namespace, {}
            for sidecar in self.contract.sidecars:
                if sidecar.metadata.namespace == namespace and sidecar.workload_selector:
                    yield namespace, dict(sidecar.workload_selector)

    def _view(self, namespace: str, labels: dict[str, str]) -> View:
        key = (namespace, tuple(sorted(labels.items())))
        if key not in self._made:
            self._made[key] = self._shared(Workload(namespace, labels, self._dns_capture))
        return self._made[key]

    def _shared(self, workload: Workload) -> View:
        """A view of the workload; one that there is already where the proxies are given the same.

        That saves an Envoy for each namespace of which nothing is said.
        """
        services = convert_services(self.contract, workload)
        scope = build_scope(self.contract, workload, services)
        program = compile_contract(self.contract, workload)
        seen: dict[tuple[int, str], dict[int, EgressScope]] = defaultdict(dict)
        # A listener of an HTTP proxy imports every port, and is none of them: it comes last.
        for egress in sorted(scope.egress, key=lambda it: it.http_proxy):
            for service in egress.services:
                for port in service.ports:
                    seen[id(service.entry), service.host].setdefault(port.number, egress)
        # A gateway knows who asks by the identity of the sidecar.
        if not self.contract.speaks_of_services:
            for view in self._views:
                if view.program == program and _ports(view.seen) == _ports(seen):
                    return view
        addresses: dict[str, set[str]] = defaultdict(set)
        for egress in scope.egress:
            for service in egress.services:
                addresses[service.host].add(service.address)
        view = View(workload, self.contract, scope, program, seen, addresses)
        self._views.append(view)
        return view


def _ports(
    seen: Mapping[tuple[int, str], Mapping[int, EgressScope]],
) -> dict[tuple[int, str], Collection[int]]:
    return {host: ports.keys() for host, ports in seen.items()}


def hidden_on_purpose(view: View, entry: ServiceEntry) -> bool:
    """Whether an entry that a workload does not see is not exported to it."""
    exported = set(entry.export_to or view.contract.mesh.default_service_export_to or ("*",))
    own = {"."} if entry.metadata.namespace == view.workload.namespace else set()
    return not exported & ({"*", view.workload.namespace} | own)


def sidecar_of(view: View) -> str:
    """The Sidecar that decides what a workload sees, in words; empty: there is none."""
    sidecar = select_sidecar(view.contract, view.workload)
    return "" if sidecar is None else f"the Sidecar at {sidecar.at('metadata', 'name')}"

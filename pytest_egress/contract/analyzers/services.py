"""Which hosts there are, and who sees them, as Istio's analyzers look them up."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from pytest_egress.contract.kubernetes.inferred import full_name
from pytest_egress.contract.resources import Resource, ServiceEntry

__all__ = ["Services", "full_host", "scopes"]

_EXPORT_TO = "networking.istio.io/exportTo"
_CLUSTER = ".svc.cluster.local"


def full_host(host: str, namespace: str) -> str:
    """A host in full: one without dots is a Service of the namespace."""
    return host if host.startswith("*") else full_name(host, namespace)


def scopes(export_to: Iterable[str], namespace: str) -> set[str]:
    """The namespaces that an ``exportTo`` names; ``*`` alone for all of them."""
    given = list(export_to)
    if not given or "*" in given:
        return {"*"}
    return {namespace if it == "." else it for it in given}


class Services:
    """The hosts of ServiceEntries and Kubernetes Services, by the namespaces that see them."""

    def __init__(self, resources: Iterable[Resource], refused: Collection[str] = ()) -> None:
        self._ports: dict[tuple[str, str], set[int]] = {}
        self._wildcards: dict[tuple[str, str], set[int]] = {}
        self._refused = "ServiceEntry" in refused
        self._holds_services = False
        for resource in resources:
            namespace = resource.metadata.namespace
            if isinstance(resource, ServiceEntry):
                ports = {port.number for port in resource.ports}
                for host in resource.hosts:
                    self._add(scopes(resource.export_to, namespace), host, namespace, ports)
            elif type(resource).__name__ == "KubernetesService":
                self._holds_services = True
                annotated = resource.metadata.annotations.get(_EXPORT_TO, "")
                given = [it.strip() for it in annotated.split(",")] if annotated else []
                ports = {port.number for port in resource.ports}  # type: ignore[attr-defined]
                name = resource.metadata.name
                self._add(scopes(given, namespace), name, namespace, ports)

    def _add(self, seen_by: Iterable[str], host: str, namespace: str, ports: set[int]) -> None:
        for scope in seen_by:
            key = (scope, full_host(host, namespace))
            self._ports.setdefault(key, set()).update(ports)
            if host.startswith("*"):
                self._wildcards[key] = self._ports[key]

    def may_lack(self, host: str, namespace: str) -> bool:
        """Whether a host that is not here may be said to be nowhere.

        A Service of the cluster may be in no file unless some Service is.
        """
        if full_host(host, namespace).lower().rstrip(".").endswith(_CLUSTER):
            return self._holds_services
        return not self._refused

    def ports(self, host: str, namespace: str, export_to: Collection[str]) -> set[int] | None:
        """The ports of a host that a resource of the namespace refers to; None where unknown.

        ``export_to`` is that of the resource: one that others see may refer to what they see.
        """
        name = full_host(host, namespace)
        found = [
            self._ports[scope, name]
            for scope in ("*", *(scopes(export_to, namespace) if export_to else {namespace}))
            if (scope, name) in self._ports
        ]
        if found:
            return set().union(*found)
        return next(self._covering(host, namespace), None)

    def _covering(self, host: str, namespace: str) -> Iterator[set[int]]:
        """The ports of the wildcards that cover a host."""
        for (scope, name), ports in self._wildcards.items():
            if scope in {"*", namespace} and host.removeprefix("*").endswith(name[1:]):
                yield ports

"""From a contract to the objects of a throw-away place in a cluster; pure functions.

Each namespace of the contract is stood for by one of the run's own. Nothing is exported to any
other, and a Sidecar hides all others: the mesh around it is neither changed nor seen.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_egress.backends.cluster.certificates import moved
from pytest_egress.backends.cluster.renaming import Renaming, shortened
from pytest_egress.backends.cluster.rivals import contradictions
from pytest_egress.backends.cluster.services import exported_to, led_services, service_object
from pytest_egress.contract.contract import Contract
from pytest_egress.contract.position import Problem
from pytest_egress.contract.resources import Resource, Sidecar, Workload
from pytest_egress.upstream.journal import CONTROL_NAME

if TYPE_CHECKING:
    from pytest_egress.contract.kubernetes.resource import KubernetesService

__all__ = [
    "CONTROL_LABEL",
    "CONTROL_PORT",
    "PLURALS",
    "Layout",
    "Placed",
    "control_objects",
    "manifests",
    "refusals",
    "resources",
]

Json = dict[str, Any]

#: The port of the positive control's own listener: no contract has a reason to name it.
CONTROL_PORT = 15199
CONTROL_HOST = CONTROL_NAME
#: Where the control's cluster leads; nobody's address (RFC 2544).
CONTROL_ADDRESS = "198.19.255.254"
#: On the pods of gateways: the Gateway of the control in their namespace is for them.
CONTROL_LABEL = "pytest-egress/control"
GENERATION_HEADER = "x-egress-generation"
#: What the names of rules begin with that have none in the contract; their index follows.
UNNAMED = "pytest-egress-http-"
_CONTROL_NAME = "pytest-egress-control"
_SIDECAR_NAME = "pytest-egress-default"
PLURALS = {
    "ServiceEntry": "serviceentries",
    "WorkloadEntry": "workloadentries",
    "Sidecar": "sidecars",
    "Gateway": "gateways",
    "VirtualService": "virtualservices",
    "DestinationRule": "destinationrules",
}
#: Kinds whose hosts are not those of Services, whatever they look like.
_OF_HOSTS = frozenset({"ServiceEntry", "WorkloadEntry"})
_CLUSTER = "on a cluster, in namespaces of its own, it cannot be enforced"


@dataclass(frozen=True, slots=True)
class Layout:
    """How the namespaces of a contract are called in the cluster.

    Attributes:
        prefix: the run's own, which every name begins with.
    """

    prefix: str

    def name(self, namespace: str) -> str:
        """The cluster's name for a namespace of the contract."""
        return shortened(f"{self.prefix}-{namespace}", namespace)

    def renaming(self, contract: Contract, workload: Workload) -> Renaming:
        """What else of a contract is called otherwise in the cluster."""
        services = {(it.metadata.name, it.metadata.namespace) for it in led_services(contract)}
        spaces = frozenset(self.namespaces(contract, workload))
        return Renaming(self.prefix, spaces, frozenset(services))

    def namespaces(self, contract: Contract, workload: Workload) -> dict[str, str]:
        """The names in the cluster, by those in the contract; the workload's comes first."""
        found = dict.fromkeys([workload.namespace])
        for resource in resources(contract):
            found[resource.metadata.namespace] = None
        for service in led_services(contract):
            found[service.metadata.namespace] = None
        return {namespace: self.name(namespace) for namespace in found}


@dataclass(frozen=True, slots=True)
class Placed:
    """One object for the cluster.

    Attributes:
        plural: of its kind, as in the API's paths.
        namespace: in the cluster.
        name: its own.
        body: the whole object.
        origin: the resource of the contract, None for what is ours.
    """

    plural: str
    namespace: str
    name: str
    body: Json
    origin: Resource | None = None

    @property
    def path(self) -> str:
        """Its path at the API server."""
        return f"{self.base}/{self.name}"

    @property
    def base(self) -> str:
        """The path of all of its kind in its namespace."""
        version = str(self.body["apiVersion"])
        group = f"apis/{version}" if "/" in version else f"api/{version}"
        return f"/{group}/namespaces/{self.namespace}/{self.plural}"

    @property
    def key(self) -> tuple[str, str, str]:
        """What no two objects share."""
        return self.plural, self.namespace, self.name


def refusals(contract: Contract, namespace: str) -> list[Problem]:
    """What of a valid contract has no meaning, or another one, in namespaces of its own.

    Args:
        contract: it.
        namespace: of the workload that asks.
    """
    return [*_refusals(contract), *contradictions(contract, namespace)]


def _refusals(contract: Contract) -> Iterator[Problem]:
    root = contract.mesh.root_namespace
    for resource in resources(contract):
        kind = str(resource.manifest.get("kind", type(resource).__name__))
        path: tuple[str | int, ...] = ("metadata", "name")
        if not resource.manifest:
            yield _problem(resource, path, f"{kind} was not read from YAML: {_CLUSTER}")
        elif resource.metadata.namespace == root and kind == "DestinationRule":
            path = ("metadata", "namespace")
            reason = f"{kind} of the root namespace {root} holds for the whole mesh"
            yield _problem(resource, path, f"{reason}: {_CLUSTER}")
    if contract.gateways:
        from pytest_egress.contract.gateway.support import unsupported_servers
        from pytest_egress.contract.pod_files import pod_files

        for gateway, where, reason in unsupported_servers(contract):
            yield _problem(gateway, where, f"{reason}: {_CLUSTER}")
        own = {id(it) for it in contract.gateways}
        for file in pod_files(contract):
            if id(file.resource) in own:
                reason = f'"{file.path}" is a file of the gateway\'s pods'
                yield _problem(file.resource, file.field, f"{reason}: {_CLUSTER}")
    led = {(it.metadata.name, it.metadata.namespace) for it in led_services(contract)}
    for service in contract.kubernetes_services:
        if (service.metadata.name, service.metadata.namespace) not in led:
            reason = f"Service: no egress gateway is behind it, {_CLUSTER}"
            yield _problem(service, ("metadata", "name"), reason)


def manifests(contract: Contract, workload: Workload, layout: Layout) -> list[Placed]:
    """The contract's objects, as they are applied; Sidecars carry the mesh's policy."""
    spaces = layout.namespaces(contract, workload)
    renaming = layout.renaming(contract, workload)
    placed = []
    for resource in resources(contract):
        body = _body(resource, spaces[resource.metadata.namespace])
        kind = body["kind"]
        if kind not in _OF_HOSTS:
            body["spec"] = renaming.spec(kind, resource.metadata.namespace, body["spec"])
        spec = body["spec"]
        if isinstance(resource, Sidecar):
            if resource.metadata.namespace == contract.mesh.root_namespace:
                continue  # it is the default of other namespaces, see _defaults
            _close(spec, contract, layout, spaces)
        elif kind == "VirtualService":
            _name_rules(spec)
        elif kind == "DestinationRule":
            moved(spec, spaces)
        if kind in {"ServiceEntry", "VirtualService", "DestinationRule"}:
            spec["exportTo"] = _export(spec.get("exportTo"), kind, contract, layout, spaces)
        placed.append(
            Placed(
                PLURALS[kind],
                body["metadata"]["namespace"],
                resource.metadata.name,
                body,
                resource,
            )
        )
    services = (_service(it, contract, layout, spaces) for it in led_services(contract))
    return [*placed, *services, *_defaults(contract, workload, layout, spaces)]


def control_objects(namespace: str, generation: int, *, gateway: bool = False) -> list[Placed]:
    """What tells that everything before it has arrived: one object of each kind.

    A call of the control comes back with the generation in a header only where the proxy has the
    ServiceEntry, the subset of the DestinationRule and the route of the VirtualService of it.

    Args:
        namespace: of the pods whose proxies are asked, in the cluster.
        generation: of what has been applied.
        gateway: whether a pod of a gateway is among them, which listens for it by a Gateway.
    """
    subset = f"g{generation}"
    specs: list[tuple[str, Json]] = [
        (
            "ServiceEntry",
            {
                "hosts": [CONTROL_HOST],
                "exportTo": ["."],
                "location": "MESH_EXTERNAL",
                "resolution": "STATIC",
                "ports": [{"number": CONTROL_PORT, "name": "http-control", "protocol": "HTTP"}],
                "endpoints": [{"address": CONTROL_ADDRESS, "labels": {"generation": subset}}],
            },
        ),
        (
            "DestinationRule",
            {
                "host": CONTROL_HOST,
                "exportTo": ["."],
                "subsets": [{"name": subset, "labels": {"generation": subset}}],
            },
        ),
        (
            "VirtualService",
            {
                "hosts": [CONTROL_HOST],
                "gateways": ["mesh", _CONTROL_NAME] if gateway else ["mesh"],
                "exportTo": ["."],
                "http": [
                    {
                        "route": [{"destination": {"host": CONTROL_HOST, "subset": subset}}],
                        "headers": {"response": {"set": {GENERATION_HEADER: str(generation)}}},
                    }
                ],
            },
        ),
    ]
    if gateway:
        port = {"number": CONTROL_PORT, "name": "http-control", "protocol": "HTTP"}
        servers = [{"port": port, "hosts": [f"./{CONTROL_HOST}"]}]
        selector = {CONTROL_LABEL: namespace}
        specs.append(("Gateway", {"selector": selector, "servers": servers}))
    return [
        Placed(
            PLURALS[kind], namespace, _CONTROL_NAME, _object(kind, namespace, _CONTROL_NAME, spec)
        )
        for kind, spec in specs
    ]


def resources(contract: Contract) -> Iterator[Resource]:
    """The resources of a contract that a cluster is given."""
    yield from contract.service_entries
    yield from contract.workload_entries
    yield from contract.gateways
    yield from contract.virtual_services
    yield from contract.destination_rules
    yield from contract.sidecars


def _service(
    service: KubernetesService, contract: Contract, layout: Layout, spaces: Mapping[str, str]
) -> Placed:
    """The Service of a gateway, seen by the run's own namespaces alone."""
    namespace = spaces[service.metadata.namespace]
    exported = _export(exported_to(service), "ServiceEntry", contract, layout, spaces)
    selector = Renaming(layout.prefix).labels(service.selector)
    body = service_object(service, namespace, exported, selector)
    return Placed("services", namespace, service.metadata.name, body)


def _problem(resource: Resource, path: tuple[str | int, ...], message: str) -> Problem:
    return Problem("error", message, resource.at(*path), "unsupported-on-cluster")


def _object(kind: str, namespace: str, name: str, spec: Json) -> Json:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def _body(resource: Resource, namespace: str) -> Json:
    """The resource without what only a cluster may say of it."""
    manifest = resource.manifest
    known = manifest.get("metadata", {})
    metadata = {
        "name": resource.metadata.name,
        "namespace": namespace,
        **{key: known[key] for key in ("labels", "annotations") if known.get(key)},
    }
    spec = copy.deepcopy(dict(manifest.get("spec") or {}))
    body = {"apiVersion": manifest["apiVersion"], "kind": manifest["kind"]}
    return {**body, "metadata": metadata, "spec": spec}


def _name_rules(spec: Json) -> None:
    """Name the rules for HTTP that have no name: so a record tells which of them decided."""
    for index, rule in enumerate(spec.get("http") or ()):
        if not rule.get("name"):
            rule["name"] = f"{UNNAMED}{index}"


def _export(
    export_to: Iterable[str] | None,
    kind: str,
    contract: Contract,
    layout: Layout,
    spaces: Mapping[str, str],
) -> list[str]:
    """Where an object is visible: everywhere means in the run's own namespaces."""
    mesh = contract.mesh
    defaults = {
        "ServiceEntry": mesh.default_service_export_to,
        "VirtualService": mesh.default_virtual_service_export_to,
        "DestinationRule": mesh.default_destination_rule_export_to,
    }
    wanted = list(export_to or defaults[kind])
    if "~" in wanted:
        return ["~"]
    if "*" in wanted:
        return sorted(spaces.values())
    return [it if it == "." else layout.name(it) for it in wanted]


def _defaults(
    contract: Contract, workload: Workload, layout: Layout, spaces: Mapping[str, str]
) -> Iterator[Placed]:
    """The Sidecar of the workload's namespace where the contract has none for all of it."""
    own = [it for it in contract.sidecars if not it.workload_selector]
    if any(it.metadata.namespace == workload.namespace for it in own):
        return
    root = [it for it in own if it.metadata.namespace == contract.mesh.root_namespace]
    spec: Json = {}
    if root:
        spec = copy.deepcopy(dict(root[0].manifest.get("spec") or {}))
    _close(spec, contract, layout, spaces)
    namespace = spaces[workload.namespace]
    body = _object("Sidecar", namespace, _SIDECAR_NAME, spec)
    yield Placed("sidecars", namespace, _SIDECAR_NAME, body)


def _close(spec: Json, contract: Contract, layout: Layout, spaces: Mapping[str, str]) -> None:
    """Give a Sidecar the mesh's policy, the run's namespaces alone, and the control's listener."""
    policy = contract.mesh.outbound_traffic_policy
    if "outboundTrafficPolicy" not in spec:
        spec["outboundTrafficPolicy"] = {"mode": policy.mode}
    listeners = spec.get("egress") or [{"hosts": ["*/*"]}]
    for listener in listeners:
        listener["hosts"] = list(_hosts(listener["hosts"], layout, spaces))
    control = {
        "port": {"number": CONTROL_PORT, "protocol": "HTTP", "name": "http-control"},
        "hosts": [f"./{CONTROL_HOST}"],
    }
    spec["egress"] = [control, *listeners]


def _hosts(hosts: Iterable[str], layout: Layout, spaces: Mapping[str, str]) -> Iterator[str]:
    for host in hosts:
        namespace, slash, name = host.partition("/")
        if not slash:
            yield host
        elif namespace == "*":
            yield from (f"{it}/{name}" for it in spaces.values())
        elif namespace in {".", "~"}:
            yield host
        else:
            yield f"{layout.name(namespace)}/{name}"

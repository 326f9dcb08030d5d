"""Resources in one line, for tests of single rules."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import yaml

from pytest_egress.contract import loads
from pytest_egress.contract.contract import Contract
from pytest_egress.contract.destination_rule.resource import DestinationRule, Subset, TrafficPolicy
from pytest_egress.contract.position import Position
from pytest_egress.contract.resources import (
    EgressListener,
    MeshConfig,
    Metadata,
    OutboundTrafficPolicy,
    PolicyMode,
    Port,
    Resource,
    ServiceEntry,
    Sidecar,
    SidecarPort,
    Workload,
)
from pytest_egress.contract.virtual_service.resource import VirtualService
from pytest_egress.envoy import Program, compile_contract

__all__ = [
    "by_name",
    "chains",
    "compiled",
    "contract_of",
    "entry",
    "mesh",
    "names",
    "port",
    "rule",
    "sidecar",
    "socket",
    "virtual_service",
]

_METADATA = ("namespace", "labels", "annotations", "creation_timestamp")


def port(text: str) -> Port:
    """``"443/HTTPS"`` or ``"80/HTTP:8080"`` (with a target port); named ``p443``."""
    number, _, protocol = text.partition("/")
    protocol, _, target = protocol.partition(":")
    return Port(int(number), f"p{number}", protocol, int(target or 0))


def entry(hosts: str, ports: str, **fields: Any) -> ServiceEntry:
    """A ServiceEntry with blank-separated hosts and ports, DNS unless told; named by its host."""
    metadata = {key: fields.pop(key) for key in _METADATA if key in fields}
    name = fields.pop("name", hosts.split(maxsplit=1)[0])
    return ServiceEntry(
        Metadata(name, **metadata),
        locate=_nowhere,
        hosts=tuple(hosts.split()),
        ports=tuple(port(it) for it in ports.split()),
        **{"resolution": "DNS", **fields},
    )


def sidecar(*egress: str, **fields: Any) -> Sidecar:
    """A Sidecar whose listeners read ``"*/*"`` or ``"80/HTTP@127.0.0.1 */a.example.com"``.

    A part with a digit first is the port (and bind); the other parts are hosts.
    """
    metadata = {key: fields.pop(key) for key in _METADATA if key in fields}
    listeners = []
    for text in egress:
        parts = text.split()
        declared = parts.pop(0) if parts[0][0].isdigit() else ""
        number, _, bind = declared.partition("@")
        where = port(number) if number else None
        listeners.append(
            EgressListener(
                tuple(parts), SidecarPort(where.number, where.protocol) if where else None, bind
            )
        )
    name = fields.pop("name", "sidecar")
    return Sidecar(Metadata(name, **metadata), locate=_nowhere, egress=tuple(listeners), **fields)


def rule(host: str, **fields: Any) -> DestinationRule:
    """A DestinationRule, named ``rule`` unless told.

    Fields that are none of its own are of its traffic policy; ``subsets`` may be names alone.
    """
    metadata = {key: fields.pop(key) for key in _METADATA if key in fields}
    name = fields.pop("name", "rule")
    subsets = tuple(
        it if isinstance(it, Subset) else Subset(it, {"version": it})
        for it in fields.pop("subsets", ())
    )
    own = {
        key: fields.pop(key)
        for key in ("export_to", "workload_selector", "traffic_policy")
        if key in fields
    }
    if fields:
        own["traffic_policy"] = TrafficPolicy(**fields)
    return DestinationRule(
        Metadata(name, **metadata), locate=_nowhere, host=host, subsets=subsets, **own
    )


def virtual_service(spec: str, **fields: Any) -> VirtualService:
    """A VirtualService from the YAML of its spec; the keywords are those of `Metadata`."""
    name = fields.pop("name", "routes")
    document = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name},
        "spec": yaml.safe_load(spec),
    }
    text = yaml.safe_dump(document, sort_keys=False)
    (read,) = loads(text, file=f"{name}.yaml").virtual_services
    return replace(read, metadata=Metadata(name, **fields))


def mesh(mode: PolicyMode = "REGISTRY_ONLY", **fields: Any) -> MeshConfig:
    """A MeshConfig with that outbound mode."""
    return MeshConfig(OutboundTrafficPolicy(mode), **fields)


def compiled(
    *resources: Resource,
    mesh: MeshConfig | None = None,
    **workload: Any,
) -> Program:
    """The program of these resources; keywords are those of `Workload`."""
    return compile_contract(contract_of(*resources, mesh=mesh), Workload(**workload))


def contract_of(*resources: Resource, mesh: MeshConfig | None = None) -> Contract:
    """The contract of these resources."""

    def of(kind: str) -> tuple[Any, ...]:
        return tuple(it for it in resources if type(it).__name__ == kind)

    return Contract(
        service_entries=of("ServiceEntry"),
        workload_entries=of("WorkloadEntry"),
        sidecars=of("Sidecar"),
        virtual_services=of("VirtualService"),
        destination_rules=of("DestinationRule"),
        gateways=of("Gateway"),
        mesh=mesh or MeshConfig(),
    )


def by_name(resources: tuple[dict[str, Any], ...], name: str) -> dict[str, Any]:
    """The resource with that name."""
    return next(it for it in resources if it.get("name", it.get("cluster_name")) == name)


def names(resources: tuple[dict[str, Any], ...]) -> list[str]:
    """Their names, in order, without ``virtualOutbound`` and the fixed clusters."""
    fixed = {"virtualOutbound", "BlackHoleCluster", "PassthroughCluster"}
    return [it["name"] for it in resources if it["name"] not in fixed]


def chains(program: Program, listener: str) -> list[tuple[dict[str, Any], str]]:
    """Match and destination (cluster, or route configuration) of each chain, the default last."""
    built = by_name(program.listeners, listener)
    found = [*built["filter_chains"]]
    if "default_filter_chain" in built:
        found.append(built["default_filter_chain"])
    return [(it.get("filter_chain_match", {}), _destination(it)) for it in found]


def socket(cluster: dict[str, Any]) -> list[tuple[str, int]]:
    """Address and port of each endpoint of a DNS cluster or EDS answer."""
    assignment = cluster.get("load_assignment", cluster)
    addresses = (
        endpoint["endpoint"]["address"]["socket_address"]
        for locality in assignment.get("endpoints", ())
        for endpoint in locality["lb_endpoints"]
    )
    return [(it["address"], it["port_value"]) for it in addresses]


def _destination(chain: dict[str, Any]) -> str:
    config = chain["filters"][-1]["typed_config"]
    if "cluster" in config:
        return str(config["cluster"])
    return str(
        config["rds"]["route_config_name"] if "rds" in config else config["route_config"]["name"]
    )


def _nowhere(_path: tuple[str | int, ...]) -> Position:
    return Position("<test>")

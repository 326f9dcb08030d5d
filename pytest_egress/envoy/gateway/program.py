"""Compiling a contract for one gateway into the configuration that istiod would push."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pytest_egress.contract.contract import Contract
from pytest_egress.contract.gateway.fatal import fatal_hosts
from pytest_egress.contract.kubernetes.registry import GatewayWorkload
from pytest_egress.contract.position import Problem
from pytest_egress.contract.resources import Workload
from pytest_egress.envoy.cluster_draft import ClusterContext
from pytest_egress.envoy.clusters import fixed_clusters, scope_clusters
from pytest_egress.envoy.gateway.closed import closed_ports
from pytest_egress.envoy.gateway.context import GatewayContext
from pytest_egress.envoy.gateway.listeners import gateway_listeners
from pytest_egress.envoy.gateway.merge import merge_gateways
from pytest_egress.envoy.gateway.routes import gateway_routes
from pytest_egress.envoy.instances import Registry
from pytest_egress.envoy.program import Program, cluster_origins
from pytest_egress.envoy.scope import build_gateway_scope
from pytest_egress.envoy.services import convert_services
from pytest_egress.errors import ContractError

__all__ = ["GatewayProgram", "compile_gateway"]


@dataclass(frozen=True, slots=True)
class GatewayProgram:
    """A gateway with its configuration.

    Attributes:
        workload: its pods, and the Gateways that are for them.
        program: what istiod would push; without listeners where nothing is listened on.
        closed: why nothing listens on a port that a Service leads to, by the pods' port.
    """

    workload: GatewayWorkload
    program: Program
    closed: Mapping[int, str]


def compile_gateway(contract: Contract, gateway: GatewayWorkload) -> GatewayProgram:
    """The configuration that istiod 1.31 would push to the pods of ``gateway``.

    As for a sidecar (see `compile_contract`); listeners are in no order of istiod's.

    Raises:
        ContractError: istiod itself fails on a Gateway (rule ``istiod-fails``).
    """
    fatal = [found for it in gateway.gateways for found in fatal_hosts(it)]
    if fatal:
        raise ContractError([Problem("error", *found, "istiod-fails") for found in fatal])
    workload = Workload(gateway.namespace, gateway.labels)
    services = convert_services(contract, workload)
    scope = build_gateway_scope(contract, workload, services)
    context = GatewayContext(contract, workload, services, scope)
    merged = merge_gateways(gateway)
    listeners = gateway_listeners(merged, context)
    shown = [it for it in listeners if it.chains]
    names = dict.fromkeys(chain.route_name for it in shown for chain in it.chains)
    routes = [gateway_routes(it, merged.by_route[it], context) for it in names if it]
    shared = ClusterContext(contract.mesh, workload, Registry(contract, services), router=True)
    services_clusters = scope_clusters(scope, shared)
    # A gateway's connections have no original destination to pass them through to.
    clusters = [*services_clusters.clusters, fixed_clusters(shared)[0]]
    program = Program(
        listeners=tuple(it.to_json() for it in shown),
        routes=tuple(it.json for it in routes),
        clusters=tuple(clusters),
        endpoints=tuple(services_clusters.endpoints),
        origins=cluster_origins(scope),
        shaped=services_clusters.shaped,
        patient=frozenset(services_clusters.patient),
        listener_origins={},
        route_rules={
            (str(it.json["name"]), host, index): rule
            for it in routes
            for (host, index), rule in it.rules.items()
        },
        chain_rules={
            (it.name, index): chain.rule
            for it in shown
            for index, chain in enumerate(it.chains)
            if chain.rule is not None
        },
    )
    return GatewayProgram(gateway, program, closed_ports(gateway, merged, listeners))

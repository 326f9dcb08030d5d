"""Recorded cases: read from their files, and compiled."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

from pytest_egress.contract import loads, parse_mesh, unsupported
from pytest_egress.contract.contract import Contract
from pytest_egress.contract.resources import MeshConfig, OutboundTrafficPolicy, Workload
from pytest_egress.envoy import Program, compile_contract
from pytest_egress.errors import ContractError

__all__ = [
    "RECORDED",
    "Case",
    "compile_case",
    "contract_of",
    "enforced",
    "istiod_fails",
    "needs_a_cluster",
    "read_cases",
    "recorded",
    "without_answers",
]

Case: TypeAlias = Mapping[str, Any]

# What a pod's labels say of its node's place, where the oracle is told it beside them.
_LOCALITY = (
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "topology.istio.io/subzone",
)

#: The files of recorded cases.
RECORDED = ("validation", "behaviour", "structure", "generated")


def read_cases(name: str) -> list[dict[str, Any]]:
    """The cases of ``<name>.jsonl`` in this directory, one JSON object a line."""
    lines = Path(__file__).with_name(f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@cache
def recorded(name: str) -> tuple[dict[str, Any], ...]:
    """The recorded cases of a file."""
    return tuple(map(_with_calls, read_cases(name)))


@cache
def enforced(name: str) -> tuple[dict[str, Any], ...]:
    """Those with calls of a sidecar, whose contracts need no cluster: the local backend's."""
    return tuple(
        case
        for case in recorded(name)
        if "calls" in case and case.get("type") != "router" and not needs_a_cluster(case)
    )


def needs_a_cluster(case: Case) -> bool:
    """Whether the contract is refused for what only a cluster can do."""
    return any(it.severity == "error" for it in unsupported(contract_of(case)))


def _with_calls(case: dict[str, Any]) -> dict[str, Any]:
    """A structure case's simulated calls, in the words of the other files."""
    if "simulate" not in case:
        return case
    calls = [{**call, "id": f"c{i}"} for i, call in enumerate(case["simulate"])]
    return {**case, "calls": calls}


def compile_case(case: Case) -> Program:
    """The program of a case's contract for the workload that asks."""
    if case.get("type") == "router":
        return _compile_router(case)
    metadata = case.get("metadata") or {}
    workload = Workload(
        namespace=case.get("namespace") or "default",
        labels=_labels(case),
        dns_capture=metadata.get("DNS_CAPTURE") == "true",
    )
    return compile_contract(contract_of(case), workload)


def istiod_fails(case: Case) -> bool:
    """Whether the contract is refused because istiod itself fails on it."""
    try:
        compile_case(case)
    except ContractError as error:
        return {it.rule for it in error.problems if it.severity == "error"} == {"istiod-fails"}
    return False


def _labels(case: Case) -> dict[str, str]:
    """The labels of the pod that asks, with those that say where it is."""
    place = filter(None, (case.get("locality") or "").split("/"))
    return {**dict(zip(_LOCALITY, place, strict=False)), **(case.get("labels") or {})}


def _compile_router(case: Case) -> Program:
    """The program of a gateway with the case's labels, in its namespace.

    A gateway service that our side alone knows, because the contract speaks of it, is left out.
    """
    from pytest_egress.contract.kubernetes.registry import gateway_workloads
    from pytest_egress.envoy.gateway.program import compile_gateway

    contract, labels = contract_of(case), case["labels"].items()
    [gateway] = [
        it
        for it in gateway_workloads(contract)
        if it.namespace == case["namespace"] and labels <= it.labels.items()
    ]
    gateway = replace(gateway, labels={**_labels(case), **gateway.labels})
    program = compile_gateway(contract, gateway).program
    given = {it.host for it in contract.kubernetes_services}
    inferred = {it.host for it in gateway.services} - given
    return replace(
        program,
        clusters=tuple(it for it in program.clusters if _host(it["name"]) not in inferred),
        endpoints=tuple(
            it for it in program.endpoints if _host(it["cluster_name"]) not in inferred
        ),
    )


def _host(cluster: str) -> str:
    return cluster.rpartition("|")[2]


def without_answers(cases: Iterable[Case]) -> list[dict[str, Any]]:
    """The cases as questions: what istiod said is taken out."""
    return [
        {
            **{key: value for key, value in case.items() if key not in {"istiod", "calls"}},
            "labels": _labels(case),
            "calls": [
                {key: value for key, value in call.items() if key != "istiod"}
                for call in case.get("calls", ())
            ],
        }
        for case in cases
    ]


def contract_of(case: Case) -> Contract:
    """The contract of a case, in the mesh that it names."""
    # Two cases leave `protocol` null, which istiod reads as empty but the API server refuses.
    text = case["yaml"].replace("protocol: }", 'protocol: ""}')
    return loads(text, mesh=_mesh(case.get("mesh") or ""))


def _mesh(text: str) -> MeshConfig:
    mesh = parse_mesh(text) if text.strip() else MeshConfig()
    if "outboundTrafficPolicy" in text:
        return mesh
    # The answers were recorded with Istio's own default, which is open.
    return replace(mesh, outbound_traffic_policy=OutboundTrafficPolicy("ALLOW_ANY"))

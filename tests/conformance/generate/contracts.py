"""Whole cases: a mesh, resources of several kinds, the workload that asks, and its calls."""

from __future__ import annotations

from collections.abc import Collection

import yaml
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from tests.conformance.generate.calls import calls
from tests.conformance.generate.destination_rules import destination_rule
from tests.conformance.generate.drawing import Choices, Json
from tests.conformance.generate.gateways import ROUTER, gateway_objects
from tests.conformance.generate.meshes import mesh
from tests.conformance.generate.names import LABELS, some_namespace
from tests.conformance.generate.service_entries import allocate, service_entry, workload_entry
from tests.conformance.generate.sidecars import sidecar
from tests.conformance.generate.virtual_services import virtual_services

__all__ = ["KINDS", "generated_cases"]

#: The kinds of resources that there are strategies for.
KINDS = (
    "ServiceEntry",
    "WorkloadEntry",
    "Sidecar",
    "VirtualService",
    "DestinationRule",
    "Gateway",
)


def generated_cases(
    kinds: Collection[str] = KINDS, *, most_calls: int = 6, settled: bool = False
) -> SearchStrategy[Json]:
    """Cases as the oracle reads them, of some kinds of resources; ServiceEntries are in each.

    ``settled`` ones, which most are anyway, istiod should always answer alike.
    """

    @st.composite
    def build(draw: DrawFn) -> Json:
        choices = Choices(draw, settled=settled or draw(st.integers(0, 4)) > 0)
        docs = [service_entry(choices, i) for i in range(choices.number(1, 4))]
        captured = choices.chance(15)
        if captured:
            for i, doc in enumerate(docs):
                allocate(doc, i)
        if "WorkloadEntry" in kinds and any("workloadSelector" in d["spec"] for d in docs):
            docs += [workload_entry(choices, i) for i in range(choices.number(1, 3))]
        entries = [doc["spec"] for doc in docs if doc["kind"] == "ServiceEntry"]
        hosts = list(dict.fromkeys(host for spec in entries for host in spec["hosts"]))
        ports = [port["number"] for spec in entries for port in spec["ports"]]
        if "VirtualService" in kinds and choices.chance(65):
            docs += virtual_services(choices, hosts, ports)
        if "DestinationRule" in kinds and choices.chance(55):
            count = choices.number(1, 3)
            docs += [destination_rule(choices, i, hosts, ports) for i in range(count)]
        router = False
        if "Gateway" in kinds and choices.chance(20):
            docs += gateway_objects(choices, hosts)
            router = choices.chance(60)
        if "Sidecar" in kinds and choices.chance(40):
            docs += [sidecar(choices, i, hosts) for i in range(choices.number(1, 2))]
        case: Json = {
            "yaml": yaml.safe_dump_all(docs, sort_keys=False),
            "mesh": yaml.safe_dump(mesh(choices)),
            "namespace": some_namespace(choices),
            "labels": choices.one(LABELS),
            "calls": calls(choices, docs, most_calls),
        }
        # istiod reads the place of a proxy that has none as no place at all, and fails over it.
        case["locality"] = choices.one(("region1/zone1", "region2/zone1"))
        if captured:
            case["metadata"] = {"DNS_CAPTURE": "true"}
        if router:
            case |= {**ROUTER, "calls": []}
            case.pop("metadata", None)
        return case

    return build()

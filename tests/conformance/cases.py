"""Recorded cases: read from their files and compiled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_egress.contract import loads, parse_mesh
from pytest_egress.contract.resources import MeshConfig, OutboundTrafficPolicy, Workload
from pytest_egress.envoy import Program, compile_contract

__all__ = ["compile_case", "read_cases"]


def read_cases(name: str) -> list[dict[str, Any]]:
    """The cases of ``<name>.jsonl`` in this directory, one JSON object a line."""
    lines = Path(__file__).with_name(f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def compile_case(case: Mapping[str, Any]) -> Program:
    """The program of a case's contract for the workload that asks."""
    metadata = case.get("metadata") or {}
    workload = Workload(
        namespace=case.get("namespace") or "default",
        labels=case.get("labels") or {},
        dns_capture=metadata.get("DNS_CAPTURE") == "true",
    )
    # Two cases leave `protocol` null, which istiod reads as empty but the API server refuses.
    text = case["yaml"].replace("protocol: }", 'protocol: ""}')
    return compile_contract(loads(text, mesh=_mesh(case.get("mesh") or "")), workload)


def _mesh(text: str) -> MeshConfig:
    mesh = parse_mesh(text) if text.strip() else MeshConfig()
    if "outboundTrafficPolicy" in text:
        return mesh
    # The answers were recorded with Istio's own default, which is open.
    return replace(mesh, outbound_traffic_policy=OutboundTrafficPolicy("ALLOW_ANY"))

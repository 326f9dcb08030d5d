"""``pytest-egress probe --batch``: many contracts, each call made for real through its own Envoy.

A line is ``{"id", "mesh", "namespace", "labels", "yaml", "calls": [...]}``; ``mesh`` is MeshConfig
as YAML text, a call is ``{"id", "address", "port", "protocol": "http|tls|tcp", "host", "path",
"method", "headers", "sni"}``. The answer is ``{"id", "calls": [{"id", "verdict", "listener",
"filter_chain", "route_config", "route", "cluster", "outcome"}]}``, in the order of the lines;
``verdict`` is what the mesh decided (``allowed``, ``passthrough``, ``blocked``, ``no_cluster``,
``no_route``, ``unknown``), ``outcome`` the judged verdict. A contract that is refused gives
``{"id", "error": [...]}``.
"""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pytest_egress.backends.local import LocalBackend
from pytest_egress.cli.lines import read_lines
from pytest_egress.contract import loads, parse_mesh
from pytest_egress.contract.resources import MeshConfig, Workload
from pytest_egress.errors import BackendError, ContractError
from pytest_egress.evidence import BLACK_HOLE, PASSTHROUGH, Evidence
from pytest_egress.probe import Options, ProbeOptionError, Target
from pytest_egress.verdict import Verdict, judge

__all__ = ["probe_batch"]

_ADDRESS = "203.0.113.1"  # where a call goes that names no address (TEST-NET-3, RFC 5737)
_FIELDS = ("listener", "filter_chain", "route_config", "route", "cluster")


def probe_batch(source: str, *, envoy: str = "", timeout: float = 5.0) -> int:
    """Answer each line of ``source``; return 0, or 3 when an outcome was inconclusive."""
    backend = LocalBackend(envoy=envoy)
    inconclusive = False
    try:
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            for answer in pool.map(
                lambda case: _answer(backend, case, timeout), read_lines(source)
            ):
                print(json.dumps(answer, separators=(",", ":")), flush=True)
                inconclusive |= any(
                    call.get("outcome") == Verdict.INCONCLUSIVE.value
                    for call in answer.get("calls", ())
                )
    finally:
        backend.close()
    return 3 if inconclusive else 0


def _answer(backend: LocalBackend, case: dict[str, Any], timeout: float) -> dict[str, Any]:
    identity = case.get("id")
    try:
        mesh = parse_mesh(case["mesh"], "<mesh>") if case.get("mesh") else MeshConfig()
        contract = loads(case.get("yaml", ""), file=f"<{identity}>", mesh=mesh)
        workload = Workload(case.get("namespace") or "default", case.get("labels") or {})
        pod = backend.enforce(contract, workload)
        calls = []
        for call in case.get("calls", ()):
            try:
                target, options = _read(call, timeout)
            except (ProbeOptionError, KeyError, TypeError) as error:
                calls.append({"id": call.get("id"), "error": str(error)})
                continue
            observation = pod.probe(target, options)
            calls.append(
                {
                    "id": call.get("id"),
                    "verdict": _word(observation.evidence),
                    **_decided(observation.evidence),
                    "outcome": judge(observation).verdict.value,
                }
            )
    except ContractError as error:
        return {"id": identity, "error": [str(problem) for problem in error.problems]}
    except BackendError as error:
        return {"id": identity, "error": str(error).splitlines()}
    return {"id": identity, "calls": calls}


def _read(call: dict[str, Any], timeout: float) -> tuple[Target, Options]:
    """A call's target and options: a connection to its address, whatever name it speaks of."""
    address, port = call.get("address") or _ADDRESS, int(call["port"])
    protocol = call["protocol"]
    if protocol == "http":
        options = Options(
            address=address,
            host_header=call.get("host") or "",
            method=call.get("method") or "GET",
            headers=tuple((call.get("headers") or {}).items()),
            timeout=timeout,
        )
        return Target("http", address, port, call.get("path") or "/"), options
    options = Options(address=address, sni=call.get("sni") or "", verify=False, timeout=timeout)
    return Target(protocol, address, port, ""), options


def _word(evidence: Evidence | None) -> str:
    """What the mesh decided, in istiod's simulation's words."""
    if evidence is None:
        return "unknown"
    flags = evidence.response_flags
    if evidence.cluster == PASSTHROUGH:
        return "passthrough"
    if evidence.cluster == BLACK_HOLE or evidence.route == "block_all":
        return "blocked"
    if "NC" in flags:
        return "no_cluster"
    if "NR" in flags:
        return "no_route" if evidence.kind == "http" else "blocked"
    return "allowed" if evidence.cluster else "unknown"


def _decided(evidence: Evidence | None) -> dict[str, str]:
    if evidence is None:
        return {}
    values = {name: getattr(evidence, name) for name in _FIELDS}
    return {name: value for name, value in values.items() if value}

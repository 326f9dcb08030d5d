"""``pytest-egress probe --batch``: many contracts, each call made for real through its own Envoy.

A line is ``{"id", "mesh", "namespace", "labels", "metadata", "yaml", "calls": [...]}``; ``mesh`` is
MeshConfig as YAML text; ``metadata``, the proxy's own, may hold ``{"DNS_CAPTURE": "true"}``. A call
is ``{"id", "address", "port", "protocol": "http|tls|tcp", "host", "path", "method", "headers",
"sni"}``. The answer is ``{"id", "calls": [{"id", "verdict", "listener", "filter_chain",
"route_config", "route", "cluster", "outcome"}]}``, in the order of the lines; ``verdict`` is what
the mesh decided (``allowed``, ``passthrough``, ``blocked``, ``no_cluster``, ``no_route``,
``redirect``, ``direct_response``, ``unknown``), ``outcome`` the judged verdict. Where a route
splits, ``cluster`` is the one that was chosen. A contract that is refused gives
``{"id", "error": [...]}``.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pytest_egress.backends.local import LocalBackend
from pytest_egress.backends.protocol import Mesh
from pytest_egress.cli.lines import answer, field, read_lines, refuse, unforeseen
from pytest_egress.contract import loads, parse_mesh
from pytest_egress.contract.resources import MeshConfig, Workload
from pytest_egress.errors import BackendError, ContractError, ProbeError
from pytest_egress.evidence import BLACK_HOLE, PASSTHROUGH, Evidence
from pytest_egress.probe import Options, ProbeOptionError, Target
from pytest_egress.verdict import Verdict, judge

__all__ = ["answer_call", "probe_batch"]

_ADDRESS = "203.0.113.1"  # where a call goes that names no address (TEST-NET-3, RFC 5737)
_FIELDS = ("listener", "filter_chain", "route_config", "route", "cluster")


def probe_batch(source: str, *, envoy: str = "", pod_root: str = "/", timeout: float = 5.0) -> int:
    """Answer each line of ``source``; ``pod_root`` stands for the root directory of every pod.

    Returns:
        0, or 3 when an outcome was inconclusive, a proxy could not be brought up, or this program
        failed on a line.

    Raises:
        ProbeError: at the end, for lines that are no JSON objects.
    """
    backend = LocalBackend(envoy=envoy, pod_root=pod_root)
    unanswered = False
    cases = list(read_lines(source))
    try:
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            for value, answered in pool.map(lambda case: _answer(backend, case, timeout), cases):
                answer(value)
                unanswered |= not answered
    finally:
        backend.close()
    refuse([case for case in cases if isinstance(case, ProbeError)])
    return 3 if unanswered else 0


def _answer(
    backend: LocalBackend, case: dict[str, Any] | ProbeError, timeout: float
) -> tuple[dict[str, Any], bool]:
    """The answer to one contract, and whether there is one."""
    if isinstance(case, ProbeError):
        return {"id": None, "error": [str(case)]}, True
    identity = case.get("id")
    try:
        mesh_text = field(case, "mesh", str, "")
        mesh = parse_mesh(mesh_text, "<mesh>") if mesh_text else MeshConfig()
        contract = loads(field(case, "yaml", str, ""), file=f"<{identity}>", mesh=mesh)
        workload = Workload(
            field(case, "namespace", str, "") or "default",
            _texts(case, "labels"),
            dns_capture=_texts(case, "metadata").get("DNS_CAPTURE") == "true",
        )
        calls = field(case, "calls", list, [])
        with backend.lease(contract, workload) as pod:
            answers = [answer_call(pod, call, timeout) for call in calls]
    except ContractError as error:
        return {"id": identity, "error": [str(problem) for problem in error.problems]}, True
    except ProbeError as error:
        return {"id": identity, "error": [str(error)]}, True
    except BackendError as error:
        return {"id": identity, "error": str(error).splitlines()}, False
    except Exception as error:  # noqa: BLE001  the other lines want their answers
        return {"id": identity, "error": unforeseen(error)}, False
    inconclusive = any(it.get("outcome") == Verdict.INCONCLUSIVE.value for it in answers)
    return {"id": identity, "calls": answers}, not inconclusive


def answer_call(pod: Mesh, call: Any, timeout: float) -> dict[str, Any]:
    """Make one call of a batch from a pod; what became of it, in the words of the answer."""
    identity = call.get("id") if isinstance(call, dict) else None
    try:
        target, options = _read(call, timeout)
    except (ProbeError, ProbeOptionError) as error:
        return {"id": identity, "error": str(error)}
    observation = pod.probe(target, options)
    return {
        "id": identity,
        # istiod's words are about the sidecar, whatever a gateway behind it does.
        "verdict": _word(observation.first),
        **_decided(observation.first),
        "outcome": judge(observation).verdict.value,
    }


def _read(call: Any, timeout: float) -> tuple[Target, Options]:
    """A call's target and options: a connection to its address, whatever name it speaks of."""
    address = field(call, "address", str, "") or _ADDRESS
    port, protocol = field(call, "port", int), field(call, "protocol", str)
    if protocol == "http":
        options = Options(
            address=address,
            host_header=field(call, "host", str, ""),
            method=field(call, "method", str, "") or "GET",
            headers=tuple(_texts(call, "headers").items()),
            timeout=timeout,
        )
        return Target("http", address, port, field(call, "path", str, "") or "/"), options
    if protocol not in {"tls", "tcp"}:
        raise ProbeError(f"protocol: expected http, tls or tcp, got {protocol!r}")
    sni = field(call, "sni", str, "")
    options = Options(address=address, sni=sni, verify=False, timeout=timeout)
    return Target(protocol, address, port, ""), options


def _texts(case: dict[str, Any], name: str) -> dict[str, str]:
    """A field that is an object of texts."""
    values = field(case, name, dict, {})
    return {key: field(values, key, str) for key in values}


def _word(evidence: Evidence | None) -> str:
    """What the mesh decided, in istiod's simulation's words."""
    if evidence is None:
        return "unknown"
    flags = evidence.response_flags
    if evidence.cluster == PASSTHROUGH:
        return "passthrough"
    if evidence.cluster == BLACK_HOLE or evidence.route_of_istio == "block_all":
        return "blocked"
    if evidence.answered_by_rule:
        return evidence.answer
    if evidence.leads_nowhere:
        return "no_cluster"
    if "NR" in flags:
        return "no_route" if evidence.kind == "http" else "blocked"
    return "allowed" if evidence.cluster else "unknown"


def _decided(evidence: Evidence | None) -> dict[str, str]:
    if evidence is None:
        return {}
    values = {name: getattr(evidence, name) for name in _FIELDS}
    # Of a connection that is split over several missing clusters nobody knows which was chosen.
    values["cluster"] = evidence.cluster or evidence.missing_cluster.partition(" or ")[0]
    return {name: value for name, value in values.items() if value}

"""``pytest-egress probe URL...``: verdicts for people, or as JSON lines."""

from __future__ import annotations

import argparse
import json
from typing import Any

from pytest_egress.backends.local import LocalBackend
from pytest_egress.cli.pod import mesh_of, workload_of
from pytest_egress.contract import load
from pytest_egress.egress import Egress
from pytest_egress.errors import ProbeError
from pytest_egress.outcome import Outcome
from pytest_egress.verdict import Verdict

__all__ = ["probe_urls"]


def probe_urls(options: argparse.Namespace) -> int:
    """Probe each URL and print its outcome; return the command's exit code."""
    mesh = mesh_of(options)
    workload = workload_of(options.workload, mesh, dns_proxy=options.dns_proxy, option="--workload")
    contract = load(options.contract, mesh=mesh)
    if not contract.service_entries:
        raise ProbeError(
            f"{', '.join(options.contract)} holds no ServiceEntry: with nothing declared, "
            "everything is blocked and a probe of that proves nothing"
        )
    backend = LocalBackend(envoy=options.envoy, live=options.live, pod_root=options.pod_root)
    try:
        egress = Egress(backend, contract, workload, timeout=options.timeout)
        verdicts = []
        for url in options.urls:
            outcome = egress.probe(url)
            verdicts.append(outcome.verdict)
            if options.json:
                print(json.dumps(_as_json(outcome)), flush=True)
            else:
                print(outcome.explain(), end="\n\n", flush=True)
    finally:
        backend.close()
    if Verdict.INCONCLUSIVE in verdicts:
        return 3
    return 0 if all(verdict is Verdict.REACHABLE for verdict in verdicts) else 1


def _as_json(outcome: Outcome) -> dict[str, Any]:
    evidence = outcome.evidence
    result: dict[str, Any] = {
        "target": outcome.target,
        "verdict": outcome.verdict.value,
        "reason": outcome.reason,
        "stage": outcome.stage,
        "addresses": list(outcome.addresses),
        "declared_by": [str(position) for position in outcome.declared_by],
        "status": outcome.status,
    }
    if evidence is not None:
        result["evidence"] = {
            "listener": evidence.listener,
            "filter_chain": evidence.filter_chain,
            "route": evidence.route,
            "rule": evidence.rule,
            "cluster": evidence.cluster,
            "response_flags": sorted(evidence.response_flags),
            "response_code": evidence.response_code,
            "response_code_details": evidence.response_code_details,
        }
    return result

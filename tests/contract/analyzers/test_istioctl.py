"""Recorded answers of Istio's own analyzers, next to ours: the same code for the same object.

``istioctl.jsonl`` has contracts with pods and Services, and what ``istioctl analyze`` of Istio 1.31
says of them: code, object, and what it is about.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from pytest_egress.contract import parse_mesh
from pytest_egress.contract.analyzers import analyze
from pytest_egress.contract.collect import Collector
from pytest_egress.contract.resources import Resource
from pytest_egress.contract.rules import RULES
from pytest_egress.contract.source import Source
from tests.conformance.asking import Oracle

Said = set[tuple[str, str]]


@cache
def cases() -> list[dict[str, Any]]:
    """The recorded cases."""
    text = Path(__file__).with_name("istioctl.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def names(resources: Iterable[Resource], kind: str) -> set[str]:
    """``namespace/name`` of the resources of a kind."""
    return {
        f"{it.metadata.namespace}/{it.metadata.name}"
        for it in resources
        if type(it).__name__ == kind
    }


def ours(collector: Collector) -> Said:
    """Code and object of each finding; a Service is no object that files are asked for."""
    found = set()
    for finding in analyze(collector.resources, collector.mesh, collector.refused):
        subject = collector.subject(finding.position)
        assert (subject is None) == (finding.rule == "IST0118")
        found.add((finding.rule, str(subject or "Service")))
    return found


def wanted(case: dict[str, Any], collector: Collector) -> tuple[Said, Said]:
    """What Istio says, and what of it has to be said here."""
    said = {(code, _object(code, name)) for code, name, _ in case["istioctl"]}
    needed = {
        (code, _object(code, name))
        for code, name, what in case["istioctl"]
        if not allowed(code, name, what, collector.resources)
    }
    return said, needed


def _object(code: str, name: str) -> str:
    return "Service" if code == "IST0118" else name


def allowed(code: str, name: str, what: str, resources: list[Resource]) -> str:
    """Why nothing is said where Istio says something; empty where it has to be said."""
    pods, services = names(resources, "KubernetesPod"), names(resources, "KubernetesService")
    gateways = names(resources, "Gateway")
    kind, _, value = what.rpartition(" ")
    host = value.partition(":")[0]
    in_cluster = "." not in host or host.endswith(".svc.cluster.local")
    if kind == "selector":
        namespace = name.split()[1].partition("/")[0]
        mine = {it for it in pods if it.startswith(f"{namespace}/")}
        return "" if (mine if name.startswith("Sidecar") else pods) else "no pods in the files"
    if kind == "credentialName":
        return "Secrets are not in the files"
    if code in {"IST0101", "IST0174"} and in_cluster and kind != "gateway" and not services:
        return "no Services in the files"
    if code == "IST0162" and not services:
        return "no Services in the files"
    if (code == "IST0132" and what not in gateways) or (kind == "gateway" and not gateways):
        return "no such Gateway in the files"
    if kind in {"host:port", "mirror host:port"}:
        return "" if _declared(resources, host) < 2 else "ports of all entries of a host count"
    credential = code in {"IST0128", "IST0129"} and gateways
    if credential and _has_credential(resources, name):
        return "a gateway reads the CA from the credential"
    return ""


def _declared(resources: list[Resource], host: str) -> int:
    hosts = [name for it in resources for name in getattr(it, "hosts", ())]
    return sum(name == host for name in hosts)


def _has_credential(resources: list[Resource], name: str) -> bool:
    [rule] = [
        it
        for it in resources
        if f"{type(it).__name__} {it.metadata.namespace}/{it.metadata.name}" == name
    ]
    return "credential_name='cred'" in repr(rule)


@pytest.mark.parametrize("case", cases(), ids=lambda case: str(case["id"]))
def test_as_istioctl(case: dict[str, Any]) -> None:
    """The same objects get the same codes, for the reasons that docs/lint.md gives."""
    collector = Collector(parse_mesh(case["mesh"]) if case["mesh"] else None)
    collector.add(Source("f.yaml", case["yaml"]))
    assert not [it for it in collector.finish() if it.severity == "error"]
    said, needed = wanted(case, collector)
    told = ours(collector)
    more = {it for it in told - said if not _reaches_further(it[0], case, collector)}
    assert (needed - told, more) == (set(), set())


def _reaches_further(code: str, case: dict[str, Any], collector: Collector) -> bool:
    """With allocated addresses Istio says nothing of entries that get none either."""
    return code == "IST0134" and collector.mesh.dns_capture and "resolution: NONE" in case["yaml"]


def test_every_code_is_tried() -> None:
    """The recorded cases have each code that this project knows."""
    tried = {code for case in cases() for code, _, _ in case["istioctl"]}
    assert tried == {rule for rule in RULES if rule.startswith("IST")}


class _Plays(Oracle):
    """Says what is recorded, but for one thing."""

    def __init__(self) -> None:
        self._answers = {case["id"]: case["istioctl"] for case in cases()}

    def ask(self, case: Mapping[str, Any]) -> dict[str, Any]:
        """The recorded messages; of the first case the first one has another code."""
        assert case["analyze"] is True
        said = [{"code": code, "resource": name} for code, name, _ in self._answers[case["id"]]]
        if case["id"] == cases()[0]["id"]:
            said[0]["code"] = "IST0177"
        return {"messages": [*said, {"code": "IST0133", "resource": "of no interest"}]}


def test_what_istio_says_otherwise_is_told() -> None:
    """The command that asks Istio itself sees what is new and what is gone."""
    from tests.contract.analyzers.__main__ import differences

    code, name, _ = cases()[0]["istioctl"][0]
    identity = cases()[0]["id"]
    assert differences(_Plays(), cases()) == [
        f"{identity}: IST0177 {name} is new",
        f"{identity}: {code} {name} is gone",
    ]

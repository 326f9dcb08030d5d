"""``pytest-egress table``: the matrix from the compiled configuration, and the same by probes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_egress.cli import main

GUARDED = str(Path(__file__).parents[2] / "examples/guarded/egress")
MIXED = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: wide, namespace: shop}
spec:
  hosts: ["*.example.com"]
  ports: [{number: 443, name: tls, protocol: TLS}, {number: 53, name: dns, protocol: UDP}]
  resolution: NONE
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: db, namespace: shop}
spec: {hosts: [db.test], ports: [{number: 5432, name: tcp, protocol: TCP}], resolution: DNS}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: web, namespace: shop}
spec: {workloadSelector: {labels: {app: web}}, egress: [{hosts: ["./db.test"]}]}
"""


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What the command prints."""
    assert main(["table", *arguments]) == 0
    return capsys.readouterr().out


@pytest.fixture
def mixed(tmp_path: Path) -> str:
    """A contract with a wildcard, a port that takes every address, and a Sidecar."""
    path = tmp_path / "mixed.yaml"
    path.write_text(MIXED)
    return str(path)


def test_text(capsys: pytest.CaptureFixture[str]) -> None:
    """Hosts by workloads that the contract tells apart, and where it is from."""
    assert run(capsys, "-c", GUARDED).splitlines() == [
        "                             shop       any other",
        "billing.example.org:80/HTTP  reachable  blocked",
        "rates.example.com:443/HTTPS  reachable  blocked",
        "any other host:80            blocked    blocked",
        "any other host:443           blocked    blocked",
        "",
        "(decided over the compiled configuration, no proxy ran)",
    ]


def test_markdown(capsys: pytest.CaptureFixture[str], mixed: str) -> None:
    """Who asks can be named; an open mesh shows what nobody declares."""
    told = run(capsys, "-c", mixed, "--from", "shop", "--from", "shop/app=web",
               "--policy", "ALLOW_ANY", "--format", "markdown")  # fmt: skip
    assert told.splitlines()[:6] == [
        "| host | shop | shop/app=web |",
        "|---|---|---|",
        "| \\*.example.com:443/TLS | reachable | undeclared |",
        "| db.test:5432/TCP | reachable | reachable |",
        "| any other host:443 | undeclared | undeclared |",
        "| any other host:5432 | reachable | reachable |",
    ]


def rows(text: str) -> dict[str, Any]:
    """The verdicts of a JSON table, by host and port."""
    return {f"{it['host']}:{it['port']}": it["verdicts"] for it in json.loads(text)["rows"]}


def test_probes_find_what_is_foretold(capsys: pytest.CaptureFixture[str], mixed: str) -> None:
    """A real Envoy for each workload says the same."""
    foretold = run(capsys, "-c", mixed, "--format", "json")
    assert json.loads(foretold)["rows"][0]["declared_by"] == f"{mixed}:5:11"
    probed = run(capsys, "-c", mixed, "--format", "json", "--probe")
    assert rows(foretold) == rows(probed)
    assert rows(probed)["*.example.com:443"] == {
        "shop": "REACHABLE", "shop/app=web": "BLOCKED", "any other": "REACHABLE",
    }  # fmt: skip
    assert json.loads(probed)["source"].startswith("probed on local (Envoy ")


def test_nothing_declared_is_no_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A contract without entries is a mistake."""
    path = tmp_path / "none.yaml"
    path.write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n")
    assert main(["table", "-c", str(path)]) == 2
    assert "holds no ServiceEntry: nothing is declared" in capsys.readouterr().err

"""Checks of contract files on a backend with several test pods: their probes are made at once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from pytest_egress.backends.mesh import LocalMesh
from pytest_egress.egress import Egress
from pytest_egress.outcome import Outcome

FILE = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: NAME}
spec:
  hosts: [NAME.example.com]
  location: MESH_EXTERNAL
  ports: [{number: 443, name: tls, protocol: TLS}]
  resolution: DNS
"""
#: Swallows every server name that nothing else declares.
GREEDY = FILE.replace("NAME", "greedy").replace("TLS", "TCP").replace("tls", "tcp")


@pytest.fixture
def files(suite: pytest.Pytester) -> pytest.Pytester:
    """Two contract files."""
    suite.makeini("[pytest]\nfilterwarnings = error\n")
    for path in (suite.path / "deploy").iterdir():
        path.unlink()
    for name in ("a", "b"):
        (suite.path / f"deploy/{name}.yaml").write_text(FILE.replace("NAME", name))
    return suite


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Three pods, so to speak; how many probes were asked for together each time."""
    asked: list[int] = []
    ask = Egress._ask_ahead

    def counted(self: Egress, probes: Iterable[tuple[str, Mapping[str, Any]]]) -> list[Outcome]:
        each = list(probes)
        asked.append(len(each))
        return ask(self, each)

    monkeypatch.setattr(LocalMesh, "pods", 3)
    monkeypatch.setattr(Egress, "_ask_ahead", counted)
    return asked


def test_checks_of_a_file_are_probed_together(files: pytest.Pytester, asked: list[int]) -> None:
    """Each is told as an item of its own, with its own outcome."""
    files.runpytest("deploy", "--egress-json=run.json").assert_outcomes(passed=12)
    assert asked == [6, 6]
    tests = json.loads((files.path / "run.json").read_text())["tests"]
    probed = [[finding["target"] for finding in it["findings"]] for it in tests]
    assert [len(it) for it in probed] == [1] * 12


def test_failures_are_those_of_one_pod(
    files: pytest.Pytester, asked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What fails, fails, with its evidence."""
    (files.path / "deploy/greedy.yaml").write_text(GREEDY)
    several = files.runpytest("deploy", "-rf")
    assert len(asked) == 3
    monkeypatch.setattr(LocalMesh, "pods", 1)
    one = files.runpytest("deploy", "-rf")
    assert len(asked) == 3
    assert several.parseoutcomes() == one.parseoutcomes()
    assert several.parseoutcomes()["failed"] >= 1

    def failed(result: pytest.RunResult) -> list[str]:
        return [line for line in result.outlines if line.startswith("FAILED")]

    assert failed(several) == failed(one)
    several.stdout.fnmatch_lines(["*expected BLOCKED, got *"])


def test_a_selected_check_asks_for_itself_alone(files: pytest.Pytester, asked: list[int]) -> None:
    """What is not run is not probed."""
    files.runpytest("deploy", "-k", "sni").assert_outcomes(passed=2)
    assert asked == [1, 1]

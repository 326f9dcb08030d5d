"""The comparison of generated contracts, without Go: istiod's part is played by its record."""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from pytest_egress.contract import check, verdict
from tests.conformance.asking import Oracle, OracleError, asking, find_oracle, outbound
from tests.conformance.cases import Case, compile_case, istiod_fails, read_cases
from tests.conformance.generate import generated_cases
from tests.conformance.generated import Tally, differences_of, main


class Recorded(Oracle):
    """Gives answers one after the other, the last one again and again."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        self._answers = list(answers)

    def ask(self, case: Case) -> dict[str, Any]:
        """The next answer."""
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return deepcopy(answer)


@pytest.fixture
def case() -> dict[str, Any]:
    """A recorded case with istiod's answer."""
    found = next(it for it in read_cases("structure") if it["id"] == "http-addresses")
    return {**found, "calls": found["simulate"]}


def changed(case: Mapping[str, Any]) -> dict[str, Any]:
    """Another answer: the first cluster is slower."""
    answer: dict[str, Any] = deepcopy(case["istiod"])
    answer["clusters"][0]["connect_timeout"] = "11s"
    return answer


def test_equal_answers(case: dict[str, Any]) -> None:
    """What is equal is counted as such."""
    tally = Tally()
    assert differences_of(case, Recorded(case["istiod"]), tally) == []
    assert tally == {"equal": 1}


def test_another_answer_is_a_difference(case: dict[str, Any]) -> None:
    """The place and both values are told."""
    tally = Tally()
    found = differences_of(case, Recorded(changed(case)), tally)
    assert len(found) == 1
    assert 'connect_timeout: ours "10s" istiod "11s"' in found[0]
    assert tally == {}


def test_istiod_of_two_minds_is_no_difference(case: dict[str, Any]) -> None:
    """Where istiod answers now so and now so, and one of it is ours, nothing is wrong."""
    tally = Tally()
    oracle = Recorded(changed(case), changed(case), case["istiod"])
    assert differences_of(case, oracle, tally) == []
    assert tally == {"unstable": 1}


def test_a_refusal_must_be_shared(case: dict[str, Any]) -> None:
    """What only istiod refuses, and what only we refuse, are differences."""
    refused = {"error_kind": "validation", "error": "1 invalid resource(s)"}
    assert differences_of(case, Recorded(refused), Tally())[0].startswith("verdict: ours accepted")
    broken = {**case, "yaml": case["yaml"].replace("hosts:", "host:")}
    found = differences_of(broken, Recorded(case["istiod"]), Tally())
    assert found[0].startswith("verdict: ours refused")
    tally = Tally()
    assert differences_of(broken, Recorded(refused), tally) == []
    assert tally == {"refused": 1}


def test_where_istiod_fails_we_refuse(case: dict[str, Any]) -> None:
    """A nil pointer in istiod is no answer: the contract must be refused for it."""
    failed = {"error_kind": "generate", "error": "panic: nil pointer"}
    found = differences_of(case, Recorded(failed), Tally())
    assert found[0].startswith("ours compiles where istiod fails")
    failing = {
        **case,
        "yaml": "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: e}\n"
        "spec: {hosts: ['*.example.com'], resolution: DYNAMIC_DNS, "
        "ports: [{number: 80, name: http, protocol: HTTP}]}\n"
        "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: r}\n"
        "spec: {host: '*.example.com', trafficPolicy: {outlierDetection: {interval: 5s}}}\n",
    }
    tally = Tally()
    assert differences_of(failing, Recorded(failed), tally) == []
    assert tally == {"istiod fails": 1}


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(case=generated_cases())
def test_generated_contracts_are_mostly_good(case: dict[str, Any]) -> None:
    """Each can be read, none is refused for a slip of the generator, and each compiles."""
    problems = check(case["yaml"])
    assert verdict(problems) != "refused", "\n".join(map(str, problems))
    assert case["calls"] or case.get("type") == "router"
    if not istiod_fails(case):
        assert compile_case(case).clusters


def test_asking_a_process(tmp_path: Path) -> None:
    """Cases go out one a line with their calls as simulated ones; inbound parts are dropped."""
    program = tmp_path / "oracle"
    program.write_text(
        "#!/usr/bin/env python3\nimport json, sys\n"
        "for line in sys.stdin:\n"
        '    answer = {"asked": json.loads(line), "listeners": [{"name": "virtualInbound"}]}\n'
        "    print(json.dumps(answer), flush=True)\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    with asking(find_oracle(str(program))) as oracle:
        calls = [{"id": "c", "port": 80, "istiod": {}}]
        answer = oracle.ask({"id": "x", "istiod": {}, "calls": calls})
    assert answer == {
        "asked": {"id": "x", "simulate": [{"id": "c", "port": 80}]},
        "listeners": [],
    }


def test_an_oracle_that_ends_is_told(tmp_path: Path) -> None:
    """Its end is no answer."""
    program = tmp_path / "oracle"
    program.write_text("#!/bin/sh\nread line\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    with asking(program) as oracle, pytest.raises(OracleError, match="has ended"):
        oracle.ask({"id": "x"})


def test_without_an_oracle_the_command_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Nothing is skipped in silence: a path that is none, and no Go, are errors with a reason."""
    assert main(["--oracle", str(tmp_path / "none")]) == 2
    assert "not a program" in capsys.readouterr().err
    monkeypatch.delenv("EGRESS_ORACLE", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main([]) == 2
    assert "no `go` to build it with" in capsys.readouterr().err


def test_outbound_keeps_the_rest() -> None:
    """Only the inbound half goes."""
    names = ["outbound|80||a", "InboundPassthroughCluster", "inbound|80||"]
    answer = outbound({"clusters": [{"name": name} for name in names], "ms": 1})
    assert json.dumps(answer) == '{"clusters": [{"name": "outbound|80||a"}], "ms": 1}'

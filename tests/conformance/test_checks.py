"""The command that has istiod judge what contract files are checked for, without Go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_egress.contract import loads
from pytest_egress.contract.resources import Workload
from pytest_egress.envoy import compile_contract
from tests.conformance.asking import Oracle
from tests.conformance.cases import Case
from tests.conformance.checks import compared, main, told

ONE: Case = {
    "id": "one",
    "yaml": """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a}
spec: {hosts: [a.test], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}
""",
}


class Ours(Oracle):
    """Plays istiod by our own compiler; asked wrongly, it would answer otherwise."""

    def __init__(self, closed_to: str = "") -> None:
        self._closed_to = closed_to

    def ask(self, case: Case) -> dict[str, Any]:
        """What istiod would push."""
        captured = case["metadata"].get("DNS_CAPTURE") == "true"
        assert captured == ("240.240.0.1" in case["yaml"])
        text = case["yaml"].replace(self._closed_to, "other.test") if self._closed_to else ""
        contract = loads(text or case["yaml"])
        workload = Workload(case["namespace"], case["labels"], captured)
        program = compile_contract(contract, workload)
        table = {
            host: {"ips": list(name.addresses), "registry": "External"}
            for host, name in program.names.items()
        }
        return {
            "listeners": program.listeners,
            "routes": program.routes,
            "clusters": program.clusters,
            "endpoints": program.endpoints,
            "names": {"table": table},
        }


def test_each_check_is_judged_with_either_resolver() -> None:
    """Nothing fails where istiod does what is declared."""
    checked, failures = compared(Ours(), [ONE])
    assert checked == {
        "reachable": 2, "resolution": 1, "neighbour": 2, "undeclared": 2, "resolves": 1,
    }  # fmt: skip
    assert failures == []
    assert told(checked, failures).splitlines()[-1].strip() == "0 false findings"


def test_a_false_finding_is_told() -> None:
    """An istiod that does otherwise is told with the check."""
    checked, failures = compared(Ours(closed_to="a.test"), [ONE])
    lines = told(checked, failures).splitlines()
    assert "FALSE one a.test[80/HTTP-reachable]: blocked block_all" in lines
    assert "FALSE one a.test[80/HTTP-resolves]: ('240.240.0.1',) is answered by ()" in lines


def test_without_an_oracle_the_command_says_so(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Nothing is skipped in silence."""
    assert main(["--oracle", str(tmp_path / "none")]) == 2
    assert "not a program" in capsys.readouterr().err

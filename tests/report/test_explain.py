"""The whole story of an outcome: what is declared where, and what to change."""

from __future__ import annotations

import pytest

from pytest_egress.backends.local import LocalBackend
from pytest_egress.contract import loads
from pytest_egress.contract.resources import Workload
from pytest_egress.egress import Egress
from pytest_egress.outcome import Outcome
from tests.observed import CONTRACT, documents, entry, sidecar
from tests.report.edits import follow


@pytest.fixture
def pod(backend: LocalBackend) -> Egress:
    """A pod under the contract with an entry of every kind."""
    return Egress(backend, loads(CONTRACT, file="egress.yaml"))


def story(outcome: Outcome) -> dict[str, str]:
    """The lines of the explanation by their label."""
    lines = outcome.explain().splitlines()
    assert all(line[10] != " " and line[9] == " " for line in lines)
    return {line[:10].strip(): line[10:] for line in lines}


def test_reachable(pod: Egress) -> None:
    """Which host of which file declares it, and what would block it."""
    told = story(pod.get("http://api.weather.com/a?b"))
    assert told == {
        "target": "http://api.weather.com:80/a?b",
        "verdict": "REACHABLE at stage http: "
        "the upstream answered through outbound|80||api.weather.com",
        "decided": "listener 0.0.0.0_80, route default of 80, cluster outbound|80||api.weather.com",
        "declared": "egress.yaml:8:5",
        "edit": "to block it, take api.weather.com out at egress.yaml:8:5",
        "proxy": told["proxy"],
    }
    assert told["proxy"].startswith('"GET /a?b" 200 - via_upstream authority=api.weather.com ')


def test_wildcard_is_named_as_it_stands(pod: Egress) -> None:
    """What is to be taken out is the declared host, not the one that was asked for."""
    told = story(pod.get("http://a.b.none.com"))
    assert told["edit"] == f"to block it, take *.none.com out at {told['declared']}"


@pytest.mark.parametrize("url", ["tcp://evil.example:7000", "tcp://evil.example:9090"])
def test_reached_through_another_declaration(pod: Egress, url: str) -> None:
    """A port that takes everything is named as such: the target stands nowhere in the contract."""
    told = story(pod.probe(url))
    port = url.rpartition(":")[2]
    assert f"its port takes all that comes to listener 0.0.0.0_{port}" in told["edit"]
    assert told["declared"] in told["edit"]
    assert "evil.example" not in told["edit"]


def test_blocked(pod: Egress) -> None:
    """The nearest declaration and the edit, then the proxy's own line."""
    told = story(pod.get("http://api.weather.com:8081"))
    assert list(told) == ["target", "verdict", "decided", "nearest", "edit", "proxy"]
    assert told["nearest"].startswith("egress.yaml:8:5 declares api.weather.com on 80/HTTP, ")
    assert told["edit"].startswith("to allow it, add {number: 8081, name: http-8081, protocol: ")


def test_unreachable(pod: Egress) -> None:
    """There is nothing to change in the mesh."""
    told = story(pod.get("http://empty.weather.com"))
    assert told["edit"] == (
        f"none for the mesh: look at the upstream, or at the endpoints at {told['declared']}"
    )


def test_undeclared_by_the_meshs_policy(pod: Egress) -> None:
    """The mesh's own policy let it out."""
    told = story(pod.with_policy("ALLOW_ANY").get("http://evil.example"))
    assert told["declared"] == "nowhere"
    assert told["edit"] == (
        "to block it, set outboundTrafficPolicy to REGISTRY_ONLY (it is ALLOW_ANY)"
    )


def test_undeclared_by_a_sidecars_policy(backend: LocalBackend) -> None:
    """A Sidecar's policy goes before the mesh's, so it is the one to change."""
    scope = sidecar(outboundTrafficPolicy={"mode": "ALLOW_ANY"})
    contract = loads(documents(scope, CONTRACT), file="egress.yaml")
    told = story(Egress(backend, contract).get("http://evil.example"))
    assert told["edit"] == (
        "to block it, set outboundTrafficPolicy of the Sidecar at egress.yaml:8:5 to REGISTRY_ONLY "
        "(it is ALLOW_ANY)"
    )
    elsewhere = Egress(backend, contract, Workload("other"))
    assert elsewhere.get("http://evil.example").blocked


def test_inconclusive_suggests_nothing(pod: Egress) -> None:
    """Without proof there is nothing to advise."""
    told = story(pod.connect("api.weather.com:80", read_first=True, timeout=0.1))
    assert list(told) == ["target", "verdict", "decided", "proxy"]


def test_what_is_to_be_taken_out_blocks(backend: LocalBackend) -> None:
    """The edit that would block a reachable target does so."""
    text = entry("two", ["one.example.com", "two.example.com"], {80: "HTTP"})
    outcome = Egress(backend, loads(text)).get("http://two.example.com")
    assert outcome.reachable
    edited = follow(outcome.explain().replace("take two.example.com out", "take it"), text)
    assert Egress(backend, loads(edited)).get("http://two.example.com").blocked

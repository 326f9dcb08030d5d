"""Connects that fail: for the proxy in the pod they do so in the kernel, as on this machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_egress.backends import registry
from pytest_egress.backends.protocol import Backend
from pytest_egress.contract import loads
from pytest_egress.egress import Egress
from pytest_egress.settings import outside_of_pytest
from pytest_egress.verdict import Verdict
from tests.alike.contract import CONTRACT


@pytest.fixture(scope="module", params=["local", "docker"])
def place(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """Each of the two."""
    backend = registry.create(request.param, outside_of_pytest)
    yield backend
    backend.close()


@pytest.fixture
def pod(place: Backend) -> Iterator[Egress]:
    """A pod, whose scripts end with it."""
    pod = Egress(place, loads(CONTRACT, file="egress.yaml"), timeout=10.0)
    yield pod
    pod.close()


def flags(pod: Egress, url: str) -> tuple[Verdict, frozenset[str]]:
    """What a probe found, and why."""
    outcome = pod.probe(url)
    assert outcome.evidence is not None, outcome.explain()
    return outcome.verdict, outcome.evidence.response_flags


@pytest.mark.parametrize("port", [80, 443])
def test_refused(pod: Egress, port: int) -> None:
    """The connect fails; one port of a host may be closed alone, and opens again."""
    scheme = {80: "http", 443: "https"}[port]
    url = f"{scheme}://api.weather.com"
    upstream = pod.upstream("api.weather.com", port).refuse()
    verdict, why = flags(pod, url)
    assert verdict is Verdict.UNREACHABLE
    assert "UF" in why
    assert pod.connect("api.weather.com:5432").verdict is Verdict.REACHABLE
    upstream.clear()
    assert pod.probe(url).verdict is Verdict.REACHABLE


def test_whole_host_but_one_port(pod: Egress) -> None:
    """The narrower script holds."""
    pod.upstream("api.weather.com").refuse()
    pod.upstream("api.weather.com", 80).respond(418)
    assert pod.get("http://api.weather.com").status == 418
    assert "UF" in flags(pod, "https://api.weather.com")[1]


def test_hanging(pod: Egress) -> None:
    """The proxy gives up on the connect."""
    pod.upstream("api.weather.com").hang()
    verdict, why = flags(pod, "http://api.weather.com")
    assert verdict is Verdict.UNREACHABLE
    assert "UF" in why


def test_endpoint_of_a_host(pod: Egress) -> None:
    """A host is refused at the endpoint that the contract gives it."""
    assert pod.get("http://static.weather.com").verdict is Verdict.REACHABLE
    pod.upstream("static.weather.com").refuse()
    assert "UF" in flags(pod, "http://static.weather.com")[1]


def test_address_of_an_open_mesh(pod: Egress) -> None:
    """An original destination as well."""
    opened = pod.with_policy("ALLOW_ANY")
    pod.upstream("198.51.100.7").refuse()
    assert "UF" in flags(opened, "tcp://198.51.100.7:4711")[1]

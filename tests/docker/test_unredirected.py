"""Where the engine grants no NET_ADMIN: probes work all the same, programs are refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from pytest_egress.backends.docker.engine import Engine
from pytest_egress.backends.docker.unredirected import SocketMesh
from pytest_egress.contract import loads
from pytest_egress.egress import Egress
from pytest_egress.errors import CapabilityError
from pytest_egress.verdict import Verdict
from tests.alike.contract import CONTRACT
from tests.backends.egress_gateway import (
    ENTRY,
    GATEWAY,
    HTTP_ROUTES,
    TLS_ROUTES,
    documents,
)
from tests.docker.conftest import Make


@pytest.fixture
def pod(make: Make, monkeypatch: pytest.MonkeyPatch) -> Iterator[Egress]:
    """A pod in an engine that takes the capability away."""
    create = Engine.create

    def without(self: Engine, *arguments: Any, **options: Any) -> Any:
        options.pop("cap_add", None)
        return create(self, *arguments, cap_drop=["NET_ADMIN"], **options)

    monkeypatch.setattr(Engine, "create", without)
    pod = Egress(make(), loads(CONTRACT, file="egress.yaml"), timeout=10.0)
    yield pod
    pod.close()


def test_probes_and_dials(pod: Egress) -> None:
    """With the evidence of the proxy in the container, scripts and what has arrived."""
    assert isinstance(pod.mesh, SocketMesh)
    for url in ("http://api.weather.com", "https://api.weather.com", "tcp://api.weather.com:5432"):
        outcome = pod.probe(url)
        assert outcome.verdict is Verdict.REACHABLE, outcome.explain()
    for url in ("http://evil.example", "https://evil.example", "tcp://evil.example:7777"):
        outcome = pod.probe(url)
        assert outcome.verdict is Verdict.BLOCKED, outcome.explain()
    upstream = pod.upstream("api.weather.com").respond(418)
    assert pod.get("http://api.weather.com/tea").status == 418
    assert upstream.requests[-1].path == "/tea"
    upstream.refuse()
    assert pod.get("http://api.weather.com").verdict is Verdict.UNREACHABLE
    upstream.clear()
    opened = pod.with_policy("ALLOW_ANY").connect("tcp://198.51.100.7:4711")
    assert opened.verdict is Verdict.UNDECLARED, opened.explain()
    assert pod.session.get("https://api.weather.com", timeout=10).status_code == 200
    with pod.capture() as calls:
        assert requests.get("https://api.weather.com", timeout=10).status_code == 200
    assert calls.hosts == {"api.weather.com"}


def test_gateway(pod: Egress) -> None:
    """It finds the outside where the pod's own proxy does."""
    contract = loads(documents(ENTRY, GATEWAY, HTTP_ROUTES, TLS_ROUTES), file="egress.yaml")
    led = Egress(pod.backend, contract, timeout=10.0)
    assert isinstance(led.mesh, SocketMesh)
    for url in ("http://api.weather.com", "https://api.weather.com"):
        outcome = led.get(url)
        assert outcome.verdict is Verdict.REACHABLE, outcome.explain()
        assert len(outcome.hops) == 2
    led.upstream("api.weather.com").refuse()
    outcome = led.get("http://api.weather.com")
    assert outcome.verdict is Verdict.UNREACHABLE, outcome.explain()
    led.close()


def test_programs_are_refused(pod: Egress) -> None:
    """With the kernel's own reason."""
    _ = pod.mesh
    with pytest.raises(CapabilityError, match="NET_ADMIN"):
        pod.run(["true"])

"""Egress gateways: two proxies, the same verdicts and both records, wherever they run."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import requests

from pytest_egress.backends.protocol import Backend
from pytest_egress.contract import loads
from pytest_egress.egress import Egress
from pytest_egress.verdict import Verdict
from tests.backends.egress_gateway import (
    ENTRY,
    GATEWAY,
    HOST,
    HTTP_ROUTES,
    TLS_ROUTES,
    documents,
)
from tests.backends.egress_task import FORMS, ORIGINATION, gateway, pieces, subset

NAME = "istio-egressgateway.istio-system"
WHOLE = (ENTRY, GATEWAY, HTTP_ROUTES, TLS_ROUTES)
HTTP_URL, TLS_URL = "http://api.weather.com/v3", "https://api.weather.com/v3"

Make = Callable[..., Egress]


@pytest.fixture
def led(place: Backend) -> Iterator[Make]:
    """Makes pods that are led through a gateway, or not, by the documents of a contract."""
    reason = place.lacking.get("gateways")
    if reason is not None:
        pytest.skip(f"{place.name} lacks gateways: {reason}")
    place.reset()
    made: list[Egress] = []

    def pod(*texts: str) -> Egress:
        made.append(Egress(place, loads(documents(*texts), file="egress.yaml"), timeout=10.0))
        return made[-1]

    yield pod
    for egress in made:
        egress.close()


@pytest.mark.parametrize(("url", "port"), [(HTTP_URL, 80), (TLS_URL, 443)])
def test_both_records(led: Make, url: str, port: int) -> None:
    """Each proxy tells where it led the call; the gateway is what reached the upstream."""
    egress = led(*WHOLE)
    outcome = egress.get(url)
    assert outcome.verdict is Verdict.REACHABLE, outcome.explain()
    cluster = f"outbound|{port}||api.weather.com"
    assert outcome.reason == f"the upstream answered through gateway {NAME} and {cluster}"
    sidecar, second = outcome.hops
    assert (sidecar.proxy, second.proxy) == ("sidecar", NAME)
    assert sidecar.evidence is not None
    assert second.evidence is not None
    assert (sidecar.evidence.cluster, second.evidence.cluster) == (
        f"outbound|{port}||{HOST}",
        cluster,
    )
    assert outcome.evidence is second.evidence
    assert [str(it) for it in outcome.declared_by][:1] == ["egress.yaml:5:11"]
    (request,) = egress.upstream("api.weather.com").requests
    assert request.path == "/v3"


@pytest.mark.parametrize(
    ("form", "url", "port", "outside"),
    [
        ("HTTP", HTTP_URL, 80, 80),
        ("passthrough", TLS_URL, 443, 443),
        ("origination", HTTP_URL, 80, 443),
        ("mutual, SNI", TLS_URL, 443, 443),
    ],
)
def test_forms_of_istios_documentation(
    led: Make, form: str, url: str, port: int, outside: int
) -> None:
    """Each hop has its own record; the upstream hears TLS wherever the form says so."""
    egress = led(*pieces(FORMS[form]))
    outcome = egress.get(url)
    assert outcome.verdict is Verdict.REACHABLE, outcome.explain()
    sidecar, second = (hop.evidence for hop in outcome.hops)
    assert sidecar is not None
    assert second is not None
    assert sidecar.cluster == f"outbound|{port}|weather|{HOST}"
    assert second.cluster == f"outbound|{outside}||api.weather.com"
    (request,) = egress.upstream("api.weather.com").requests
    assert (request.tls, request.path) == (outside == 443, "/v3")


@pytest.mark.parametrize(
    ("texts", "url", "reason"),
    [
        (
            (ENTRY, HTTP_ROUTES.replace("[mesh, egress]", "[mesh]")),
            HTTP_URL,
            (
                "nothing listens on port 80: no Gateway selects its pods"
                " (app=istio-egressgateway, istio=egressgateway)"
            ),
        ),
        (
            (ENTRY, GATEWAY, HTTP_ROUTES.replace("gateways: [egress]", "gateways: [mesh]")),
            HTTP_URL,
            "listener 0.0.0.0_80 has no route that matches",
        ),
        (
            (ENTRY, GATEWAY, HTTP_ROUTES.replace("api.weather.com, port", "other.com, port")),
            HTTP_URL,
            (
                "VirtualService default/http http[1] leads to outbound|80||other.com, a cluster"
                " that does not exist"
            ),
        ),
        (
            pieces(ORIGINATION, mutual=subset()),
            HTTP_URL,
            "listener 0.0.0.0_80 has no filter chain that matches",
        ),
        (
            pieces(ORIGINATION, gateway=gateway(80, "HTTP")),
            HTTP_URL,
            "listener 0.0.0.0_80 expects plain HTTP and got TLS",
        ),
    ],
    ids=["no gateway", "no rule", "nothing behind", "plain text", "TLS in place of HTTP"],
)
def test_blocked_at_the_gateway(led: Make, texts: tuple[str, ...], url: str, reason: str) -> None:
    """A piece is missing: the sidecar lets it through, the gateway refuses it and is named."""
    outcome = led(*texts).get(url)
    assert outcome.verdict is Verdict.BLOCKED, outcome.explain()
    assert outcome.reason == f"gateway {NAME}: {reason}"
    assert [hop.proxy for hop in outcome.hops] == ["sidecar", NAME]


def test_what_the_gateway_is_not_for(led: Make) -> None:
    """The sidecar blocks by itself what nothing declares."""
    egress = led(*WHOLE)
    for url in ("http://evil.example", "https://evil.example"):
        outcome = egress.get(url)
        assert outcome.verdict is Verdict.BLOCKED, outcome.explain()
        assert outcome.hops == ()


@pytest.mark.parametrize("url", [HTTP_URL, TLS_URL])
def test_upstream_that_fails_behind_the_gateway(led: Make, url: str) -> None:
    """The contract lets it through, and the gateway's flags tell what happened."""
    egress = led(*WHOLE)
    egress.upstream("api.weather.com").refuse()
    outcome = egress.get(url)
    assert outcome.verdict is Verdict.UNREACHABLE, outcome.explain()
    assert outcome.reason.startswith(f"gateway {NAME}: outbound|")
    assert "lets it through, but" in outcome.reason


def test_requests_of_one_connection(led: Make) -> None:
    """Those of a kept connection are told apart at the gateway, too."""
    egress = led(*WHOLE)
    with egress.capture() as calls, requests.Session() as session:
        for path in ("a", "b"):
            answer = session.get(f"http://api.weather.com/{path}", timeout=10)
            assert answer.status_code == 200
    assert [call.verdict for call in calls] == [Verdict.REACHABLE] * 2
    told = [[hop.evidence.path for hop in call.hops if hop.evidence] for call in calls]
    assert told == [["/a", "/a"], ["/b", "/b"]]


def test_many_at_once(led: Make) -> None:
    """Each outcome has the records of its own request."""
    egress = led(*WHOLE)
    outcomes = egress.get(HTTP_URL, n=20, concurrency=5)
    assert {outcome.verdict for outcome in outcomes} == {Verdict.REACHABLE}
    told = {it.hops[1].evidence.request_id for it in outcomes if it.hops[1].evidence}
    arrived = {it.headers["x-request-id"] for it in egress.upstream("api.weather.com").requests}
    assert len(told) == 20
    assert told == arrived

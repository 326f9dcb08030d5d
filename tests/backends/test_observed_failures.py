"""What an application observes when the mesh lets it through and the outside fails."""

from __future__ import annotations

import pytest

from pytest_egress.backends.local import LocalBackend
from pytest_egress.contract import loads
from pytest_egress.egress import Egress
from pytest_egress.upstream import Upstreams
from pytest_egress.verdict import Verdict
from tests.observed import assert_closed, assert_seen, documents, entry

WEATHER = "api.weather.com"
UNKNOWN = "203.0.113.9"  # where the application goes when the name resolves for it alone

DYNAMIC = entry("dynamic", "*.wild.com", {80: "HTTP", 443: "TLS"}, "DYNAMIC_DNS")


@pytest.mark.parametrize(
    ("scheme", "port"), [("http", 80), ("tls", 443), ("https", 443), ("tcp", 5432)]
)
def test_cluster_name_does_not_resolve(
    pod: Egress, upstreams: Upstreams, scheme: str, port: int
) -> None:
    """The cluster is there but has no address: UH, and 503 where HTTP is spoken."""
    upstreams[WEATHER].nxdomain()
    outcome = pod.probe(f"{scheme}://{WEATHER}:{port}", address=UNKNOWN)
    http = scheme == "http"
    assert_seen(
        outcome,
        Verdict.UNREACHABLE,
        code=503 if http else 0,
        flags="UH",
        details="no_healthy_upstream" if http else "",
        cluster=f"outbound|{port}||{WEATHER}",
        route="default" if http else "",
        reason="its name does not resolve, or there are no endpoints",
    )
    assert outcome.declared
    if http:
        assert (outcome.status, outcome.body) == (503, b"no healthy upstream")
    else:
        assert_closed(outcome)


def test_static_entry_without_endpoints(pod: Egress) -> None:
    """STATIC without endpoints is accepted and leads nowhere."""
    outcome = pod.get("http://empty.weather.com")
    assert_seen(
        outcome,
        Verdict.UNREACHABLE,
        code=503,
        flags="UH",
        details="no_healthy_upstream",
        cluster="outbound|80||empty.weather.com",
        route="default",
    )
    tls = pod.tls("empty.weather.com:8443")
    assert_closed(tls)
    assert_seen(tls, Verdict.UNREACHABLE, flags="UH", cluster="outbound|8443||empty.weather.com")


def test_dynamic_name_does_not_resolve(backend: LocalBackend, upstreams: Upstreams) -> None:
    """A wildcard that the proxy resolves: DF for HTTP, UH for TLS."""
    upstreams["gone.wild.com"].nxdomain()
    pod = Egress(backend, loads(DYNAMIC))
    http = pod.get("http://gone.wild.com", address=UNKNOWN)
    assert_seen(
        http,
        Verdict.UNREACHABLE,
        code=503,
        flags="DF",
        details="dns_resolution_failure{",
        cluster="outbound|80||*.wild.com",
        route="default",
        reason="the proxy could not resolve the upstream's name: dns_resolution_failure{",
    )
    assert (http.status, http.body) == (503, b"DNS resolution failure")
    tls = pod.get("https://gone.wild.com", address=UNKNOWN)
    assert_closed(tls)
    assert_seen(tls, Verdict.UNREACHABLE, flags="UH", cluster="outbound|443||*.wild.com")


def test_dynamic_name_behind_another_service(backend: LocalBackend, upstreams: Upstreams) -> None:
    """Where the wildcard is not the first on its port istiod adds no filter: the cluster resolves.

    Envoy then says UH with details that tell of the name.
    """
    upstreams["gone.wild.com"].nxdomain()
    first = entry("a", "*.first.com", {80: "HTTP"}, "NONE")
    pod = Egress(backend, loads(documents(first, DYNAMIC)))
    assert_seen(
        pod.get("http://gone.wild.com", address=UNKNOWN),
        Verdict.UNREACHABLE,
        code=503,
        flags="UH",
        details="dns_resolution_failure{",
        cluster="outbound|80||*.wild.com",
        route="default",
        reason="the proxy could not resolve the upstream's name: dns_resolution_failure{",
    )


def test_upstream_refuses_http(pod: Egress, upstreams: Upstreams) -> None:
    """Two retries, then 503 with both flags."""
    upstreams[WEATHER].refuse()
    outcome = pod.get(f"http://{WEATHER}")
    assert_seen(
        outcome,
        Verdict.UNREACHABLE,
        code=503,
        flags="URX UF",
        details="upstream_reset_before_response_started{remote_connection_failure|"
        "delayed_connect_error:_Connection_refused}",
        cluster=f"outbound|80||{WEATHER}",
        route="default",
        reason="the connection to the upstream failed: delayed_connect_error:_Connection_refused",
    )
    assert outcome.status == 503
    assert outcome.body.startswith(b"upstream connect error or disconnect/reset before headers.")
    assert b"retried and the latest reset reason: remote connection failure" in outcome.body
    assert outcome.evidence is not None
    assert outcome.evidence.attempts == 3
    assert outcome.unreachable
    assert outcome.declared
    assert not outcome.blocked


@pytest.mark.parametrize(("scheme", "port"), [("tcp", 5432), ("https", 443)])
def test_upstream_refuses_bytes(pod: Egress, upstreams: Upstreams, scheme: str, port: int) -> None:
    """The application's connect succeeds all the same; the record has the reason."""
    upstreams[WEATHER].refuse()
    outcome = pod.probe(f"{scheme}://{WEATHER}:{port}")
    assert_closed(outcome)
    assert_seen(outcome, Verdict.UNREACHABLE, flags="UF URX", cluster=f"outbound|{port}||{WEATHER}")
    assert outcome.evidence is not None
    assert (
        outcome.evidence.upstream_transport_failure_reason
        == "delayed_connect_error:_Connection_refused"
    )


def test_upstream_does_not_accept_http(pod: Egress, upstreams: Upstreams) -> None:
    """The probe gives up before the proxy does, which tries three times: DC."""
    upstreams[WEATHER].hang()
    outcome = pod.get(f"http://{WEATHER}", timeout=0.3)
    assert_seen(
        outcome,
        Verdict.UNREACHABLE,
        flags="DC",
        details="downstream_remote_disconnect",
        cluster=f"outbound|80||{WEATHER}",
        route="default",
        reason="the proxy was still waiting for the upstream when the probe gave up (timed out",
    )


@pytest.mark.parametrize(("scheme", "port"), [("tcp", 5432), ("https", 443)])
def test_upstream_does_not_accept_bytes(
    pod: Egress, upstreams: Upstreams, scheme: str, port: int
) -> None:
    """The proxy's connect timeout, a second on loopback, ends the application's connection."""
    upstreams[WEATHER].hang()
    outcome = pod.probe(f"{scheme}://{WEATHER}:{port}")
    assert_closed(outcome)
    assert_seen(
        outcome,
        Verdict.UNREACHABLE,
        flags="UF URX",
        cluster=f"outbound|{port}||{WEATHER}",
        reason="the connection to the upstream failed",
    )


def test_upstream_does_not_accept_and_client_gives_up(pod: Egress, upstreams: Upstreams) -> None:
    """A TCP filter that connects does not see its client go: the record comes, but later."""
    upstreams[WEATHER].hang()
    outcome = pod.connect(f"{WEATHER}:5432", timeout=0.3)
    assert outcome.attempt.failure is not None
    assert outcome.attempt.failure.kind == "timeout"
    assert_seen(outcome, Verdict.UNREACHABLE, flags="UF URX", cluster=f"outbound|5432||{WEATHER}")


def test_upstream_resets_before_it_answers(pod: Egress, upstreams: Upstreams) -> None:
    """A reset after the request is not retried: UC."""
    upstreams[WEATHER].reset()
    outcome = pod.get(f"http://{WEATHER}")
    assert_seen(
        outcome,
        Verdict.UNREACHABLE,
        code=503,
        flags="UC",
        details="upstream_reset_before_response_started{connection_termination}",
        cluster=f"outbound|80||{WEATHER}",
        route="default",
        reason="the upstream closed the connection before it answered",
    )
    assert outcome.status == 503
    assert outcome.evidence is not None
    assert outcome.evidence.attempts == 1
    assert len(upstreams[WEATHER, 80].connections) == 1


@pytest.mark.parametrize(("scheme", "port"), [("tcp", 5432), ("https", 443)])
def test_upstream_resets_bytes(pod: Egress, upstreams: Upstreams, scheme: str, port: int) -> None:
    """A reset behind the TCP filter closes the application's connection."""
    upstreams[WEATHER].reset()
    outcome = pod.probe(f"{scheme}://{WEATHER}:{port}")
    assert_closed(outcome)
    assert outcome.verdict is Verdict.UNREACHABLE, outcome.explain()
    assert outcome.evidence is not None
    assert outcome.evidence.cluster == f"outbound|{port}||{WEATHER}"
    assert "the upstream reset it" in outcome.reason


@pytest.mark.parametrize("status", [404, 500, 503])
def test_upstream_answers_with_an_error(pod: Egress, upstreams: Upstreams, status: int) -> None:
    """An error that the upstream sends is an answer: passed on, not retried, REACHABLE."""
    upstreams[WEATHER].respond(status, body="busy")
    outcome = pod.get(f"http://{WEATHER}")
    assert_seen(
        outcome,
        Verdict.REACHABLE,
        code=status,
        details="via_upstream",
        cluster=f"outbound|80||{WEATHER}",
        route="default",
    )
    assert (outcome.status, outcome.body) == (status, b"busy")
    assert len(upstreams[WEATHER].requests) == 1


def test_grpc_status_of_the_upstream_is_an_answer(pod: Egress, upstreams: Upstreams) -> None:
    """UNAVAILABLE is retried (URX), and what the last attempt said is still the upstream's word."""
    upstreams[WEATHER].grpc_status("UNAVAILABLE", "later")
    outcome = pod.grpc(f"{WEATHER}:50051")
    assert_seen(
        outcome,
        Verdict.REACHABLE,
        code=200,
        flags="URX",
        details="via_upstream",
        cluster=f"outbound|50051||{WEATHER}",
        route="default",
    )
    assert outcome.response is not None
    assert (outcome.response.grpc_status, outcome.response.grpc_message) == (14, "later")
    assert len(upstreams[WEATHER].requests) == 3


@pytest.mark.parametrize(
    ("scheme", "port", "stage"), [("http", 80, "http"), ("https", 443, "tls"), ("tcp", 5432, "tcp")]
)
def test_client_gives_up(
    pod: Egress, upstreams: Upstreams, scheme: str, port: int, stage: str
) -> None:
    """An upstream that accepts and says nothing is unreachable, at the stage that waited."""
    upstreams[WEATHER].silent()
    outcome = pod.probe(f"{scheme}://{WEATHER}:{port}", timeout=0.3)
    http = scheme == "http"
    assert_seen(
        outcome,
        Verdict.UNREACHABLE,
        flags="DC" if http else "",
        details="downstream_remote_disconnect" if http else "",
        cluster=f"outbound|{port}||{WEATHER}",
        route="default" if http else "",
        reason="timed out",
    )
    assert outcome.stage == stage


@pytest.mark.parametrize("kind", ["expired", "wrong-name", "unknown-ca"])
@pytest.mark.parametrize("scheme", ["https", "tls"])
def test_bad_certificate(pod: Egress, upstreams: Upstreams, kind: str, scheme: str) -> None:
    """The mesh let it through and the handshake failed: UNREACHABLE at stage tls, with why."""
    upstreams[WEATHER].certificate(kind)
    outcome = pod.probe(f"{scheme}://{WEATHER}")
    assert_seen(
        outcome,
        Verdict.UNREACHABLE,
        cluster=f"outbound|443||{WEATHER}",
        reason="lets it through, but certificate refused: ",
    )
    assert outcome.stage == "tls"
    words = {"expired": "expired", "wrong-name": "not for api.weather.com", "unknown-ca": "issuer"}
    assert words[kind] in outcome.reason
    unchecked = pod.probe(f"{scheme}://{WEATHER}", verify=False)
    assert_seen(unchecked, Verdict.REACHABLE, cluster=f"outbound|443||{WEATHER}")


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("nxdomain", "gave NXDOMAIN"),
        ("servfail", "gave SERVFAIL"),
        ("nodata", "gave no address (NODATA)"),
        ("dns_timeout", "timed out"),
    ],
)
@pytest.mark.parametrize("policy", ["REGISTRY_ONLY", "ALLOW_ANY"])
def test_application_cannot_resolve(
    pod: Egress, upstreams: Upstreams, script: str, said: str, policy: str
) -> None:
    """Envoy is never involved: UNRESOLVED, which is neither reachable nor blocked."""
    name = "nowhere.example"
    upstream = upstreams[name]
    upstream.lookups([]) if script == "nodata" else getattr(upstream, script)()
    outcome = pod.with_policy(policy).get(f"http://{name}", timeout=0.3)  # type: ignore[arg-type]
    assert outcome.verdict is Verdict.UNRESOLVED
    assert outcome.reason == f"the pod's lookup of {name} {said}"
    assert outcome.stage == "dns"
    assert outcome.evidence is None
    assert not outcome.resolved
    assert not outcome.blocked
    assert not outcome.reachable


@pytest.mark.parametrize("url", [f"http://{WEATHER}", f"tcp://{WEATHER}:5432"])
def test_server_of_the_user_is_not_running(pod: Egress, upstreams: Upstreams, url: str) -> None:
    """It was the upstream that failed, whether the proxy was connected already or not."""
    upstreams[WEATHER].to("127.0.0.1:1")
    outcome = pod.probe(url)
    assert outcome.verdict is Verdict.UNREACHABLE
    assert outcome.evidence is not None
    assert outcome.evidence.response_flags & {"UC", "UR", "UF"}

"""Traffic through an egress gateway: two Envoys, each with its own record of it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from pytest_egress.backends.local import LocalBackend
from pytest_egress.backends.proxy import EmbeddedProxy
from pytest_egress.contract import loads
from pytest_egress.egress import Egress
from pytest_egress.errors import ContractError
from pytest_egress.probe import Options, Target
from pytest_egress.upstream import Upstreams
from pytest_egress.verdict import Verdict, judge
from tests.backends.egress_gateway import (
    ENTRY,
    GATEWAY,
    HOST,
    HTTP_ROUTES,
    TLS_ROUTES,
    documents,
)

NAME = "istio-egressgateway.istio-system"
WHOLE = (ENTRY, GATEWAY, HTTP_ROUTES, TLS_ROUTES)


@pytest.fixture(scope="module")
def backend() -> Iterator[LocalBackend]:
    """A backend of this module's own: its many contracts would push others' proxies out."""
    backend = LocalBackend()
    yield backend
    backend.close()


@pytest.fixture
def upstreams(backend: LocalBackend) -> Iterator[Upstreams]:
    """The outside without requests of earlier tests."""
    backend.outside.reset()
    with backend.upstreams() as scripted:
        yield scripted


def pod(backend: LocalBackend, *texts: str) -> Egress:
    """A pod under these documents."""
    return Egress(backend, loads(documents(*texts), file="egress.yaml"))


def test_http_through_both_hops(backend: LocalBackend, upstreams: Upstreams) -> None:
    """Both proxies' records and rules are told; the upstream saw one request from the gateway."""
    outcome = pod(backend, *WHOLE).get("http://api.weather.com/v3")
    assert outcome.reachable
    assert outcome.reason == (
        f"the upstream answered through gateway {NAME} and outbound|80||api.weather.com"
    )
    sidecar, gateway = outcome.hops
    assert sidecar.evidence is not None
    assert gateway.evidence is not None
    assert (sidecar.proxy, gateway.proxy) == ("sidecar", NAME)
    assert sidecar.evidence.cluster == f"outbound|80||{HOST}"
    assert sidecar.evidence.upstream_host == gateway.evidence.destination == "10.244.0.10:80"
    assert gateway.evidence.route_config == "http.80"
    assert outcome.evidence is gateway.evidence
    assert [str(it) for it in outcome.declared_by] == ["egress.yaml:5:11", "egress.yaml:33:5"]
    (request,) = upstreams["api.weather.com"].requests
    assert request.path == "/v3"
    assert request.headers["x-envoy-attempt-count"] == "1"
    assert outcome.headers.get("server") == "envoy"
    story = outcome.explain().splitlines()
    assert [line.split()[0] for line in story] == [
        "target",
        "verdict",
        "sidecar",
        "rule",
        "gateway",
        "rule",
        "declared",
        "edit",
        "proxy",
        "proxy",
    ]


def test_tls_passes_through(backend: LocalBackend, upstreams: Upstreams) -> None:
    """The handshake is the application's own with the upstream."""
    outcome = pod(backend, *WHOLE).get("https://api.weather.com/")
    assert outcome.reachable
    assert outcome.tls is not None
    assert outcome.tls.verified
    sidecar, gateway = (hop.evidence for hop in outcome.hops)
    assert sidecar is not None
    assert gateway is not None
    assert sidecar.cluster == f"outbound|443||{HOST}"
    assert (gateway.cluster, gateway.requested_server_name) == (
        "outbound|443||api.weather.com",
        "api.weather.com",
    )
    assert [it.headers["host"] for it in upstreams["api.weather.com"].requests] == [
        "api.weather.com"
    ]


def test_other_hosts_do_not_come_to_the_gateway(backend: LocalBackend) -> None:
    """They are the sidecar's matter; there is one hop then, and no list of them."""
    for url in ("http://evil.example", "https://evil.example"):
        outcome = pod(backend, *WHOLE).get(url)
        assert outcome.blocked
        assert outcome.hops == ()


@pytest.mark.parametrize(
    ("texts", "url", "reason"),
    [
        (
            (ENTRY, HTTP_ROUTES.replace("[mesh, egress]", "[mesh]")),
            "http://api.weather.com",
            (
                "nothing listens on port 80: no Gateway selects its pods"
                " (app=istio-egressgateway, istio=egressgateway)"
            ),
        ),
        (
            (ENTRY, GATEWAY.replace("egressgateway}", "egresgateway}"), HTTP_ROUTES),
            "http://api.weather.com",
            (
                "nothing listens on port 80: no Gateway selects its pods"
                " (app=istio-egressgateway, istio=egressgateway)"
            ),
        ),
        (
            (ENTRY, GATEWAY.replace("number: 80", "number: 8080"), HTTP_ROUTES),
            "http://api.weather.com",
            (
                "nothing listens on port 80: no Gateway for it has a server on port 80"
                " (there is default/egress at egress.yaml:18:3)"
            ),
        ),
        (
            (ENTRY, GATEWAY, TLS_ROUTES.replace("gateways: [egress]", "gateways: [mesh]")),
            "https://api.weather.com",
            (
                "nothing listens on port 443: no VirtualService bound to default/egress has a tls"
                " rule for a host of the server at egress.yaml:20:5, which therefore listens on"
                " nothing"
            ),
        ),
        (
            (ENTRY, GATEWAY, HTTP_ROUTES.replace("gateways: [egress]", "gateways: [mesh]")),
            "http://api.weather.com",
            "listener 0.0.0.0_80 has no route that matches",
        ),
        (
            (
                ENTRY,
                GATEWAY.replace("hosts: [api.weather.com]", "hosts: [other.com]"),
                HTTP_ROUTES,
            ),
            "http://api.weather.com",
            "listener 0.0.0.0_80 has no route that matches",
        ),
        (
            (
                ENTRY,
                GATEWAY,
                HTTP_ROUTES.replace("api.weather.com, port", "api.weather.org, port"),
            ),
            "http://api.weather.com",
            (
                "VirtualService default/http http[1] leads to outbound|80||api.weather.org, a"
                " cluster that does not exist"
            ),
        ),
    ],
    ids=[
        "no gateway",
        "other pods selected",
        "no server on the port",
        "no rule for TLS",
        "no rule for HTTP",
        "host missing",
        "nothing behind",
    ],
)
def test_blocked_at_the_gateway(
    backend: LocalBackend, texts: tuple[str, ...], url: str, reason: str
) -> None:
    """A piece is missing: the sidecar lets it through, the gateway refuses it and is named."""
    outcome = pod(backend, *texts).get(url)
    assert outcome.blocked, outcome.explain()
    assert outcome.reason == f"gateway {NAME}: {reason}"
    assert [hop.proxy for hop in outcome.hops] == ["sidecar", NAME]
    assert "to allow it, " in outcome.explain()


def test_blocked_at_the_sidecar(backend: LocalBackend) -> None:
    """Without the host's ServiceEntry nothing takes the connection in the first place."""
    outcome = pod(backend, ENTRY.replace("443", "444"), GATEWAY, TLS_ROUTES).get(
        "https://api.weather.com"
    )
    assert outcome.blocked
    assert outcome.hops == ()
    assert "BlackHoleCluster" in outcome.reason


def test_upstream_failure_behind_the_gateway(backend: LocalBackend, upstreams: Upstreams) -> None:
    """The gateway's flags tell what happened."""
    upstreams["api.weather.com"].refuse()
    outcome = pod(backend, *WHOLE).get("http://api.weather.com")
    assert outcome.unreachable
    assert outcome.reason.startswith(
        f"gateway {NAME}: outbound|80||api.weather.com lets it through, but"
    )


def test_gateway_of_another_namespace_sees_what_is_exported_to_it(backend: LocalBackend) -> None:
    """An entry that only the pod's namespace sees is no cluster at the gateway."""
    private = ENTRY.replace("spec:\n", "spec:\n  exportTo: ['.']\n")
    outcome = pod(backend, private, GATEWAY, HTTP_ROUTES).get("http://api.weather.com")
    assert outcome.blocked
    assert outcome.reason.endswith("outbound|80||api.weather.com, a cluster that does not exist")
    assert outcome.hops[1].proxy == NAME


def test_workloads_share_the_gateway(backend: LocalBackend) -> None:
    """It is the contract's, not the workload's; it ends with the last one that leads to it."""
    default = pod(backend, *WHOLE)
    other = default.as_workload("shop")
    meshes = [backend.enforce(it.contract, it.workload) for it in (default, other)]
    assert meshes[0].gateways is meshes[1].gateways is not None
    assert other.get("http://api.weather.com").reachable
    meshes[0].close()
    assert meshes[1].running()
    meshes[1].close()
    assert meshes[1].gateways is not None
    assert not meshes[1].gateways.running()


def test_dead_gateway_proves_nothing(backend: LocalBackend) -> None:
    """Its record is missing, so neither verdict is drawn; the next use starts another."""
    egress = pod(backend, *WHOLE)
    mesh = backend.enforce(egress.contract, egress.workload)
    assert mesh.gateways is not None
    for gateway in mesh.gateways:
        assert isinstance(gateway.proxy, EmbeddedProxy)
        os.kill(gateway.proxy.pid, signal.SIGKILL)
        gateway.proxy.process._process.wait()
    observation = mesh.probe(Target.parse("http://api.weather.com"), Options())
    assert judge(observation).verdict is Verdict.INCONCLUSIVE
    assert egress.get("http://api.weather.com").reachable


def test_what_envoy_refuses_of_a_gateway_is_told_at_its_rule(backend: LocalBackend) -> None:
    """Istiod pushes a redirect with a code that Envoy has no name for; it is told each time."""
    start = HTTP_ROUTES.index("  - match: [{gateways: [egress]")
    redirect = "  - redirect: {uri: /x, redirectCode: 305}\n    match: [{gateways: [egress]}]\n"
    for _ in range(2):
        with pytest.raises(ContractError) as error:
            pod(backend, ENTRY, GATEWAY, HTTP_ROUTES[:start] + redirect).get(
                "http://api.weather.com"
            )
        (problem,) = error.value.problems
        assert (problem.rule, str(problem.position)) == ("envoy/refused", "egress.yaml:33:5")


def test_a_service_has_its_cluster_ip(backend: LocalBackend) -> None:
    """A pod that calls the gateway itself gets to it, as with the cluster's own name server."""
    outcome = pod(backend, *WHOLE).get(f"https://{HOST}")
    assert [str(it) for it in outcome.addresses] == ["10.96.0.10"], outcome.explain()
    assert outcome.blocked
    assert outcome.reason == (
        f"gateway {NAME}: listener 0.0.0.0_443 has no filter chain that matches"
    )

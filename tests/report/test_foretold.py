"""What is foretold of calls: the words of real outcomes, and the same verdicts."""

from __future__ import annotations

import pytest

from pytest_egress.backends.local import LocalBackend
from pytest_egress.contract import loads
from pytest_egress.contract.contract import Contract
from pytest_egress.contract.resources import MeshConfig, OutboundTrafficPolicy, Workload
from pytest_egress.egress import Egress
from pytest_egress.probe import Target
from pytest_egress.report.foresight import Foresight
from pytest_egress.report.foretold import Foretold, foretell
from pytest_egress.verdict import Verdict
from tests.backends.egress_gateway import documents as gateway_documents
from tests.backends.egress_task import FORMS, pieces
from tests.observed import CONTRACT, destination_rule, document, documents, entry, sidecar

OPEN = MeshConfig(outbound_traffic_policy=OutboundTrafficPolicy("ALLOW_ANY"))
URLS = [
    "http://api.weather.com/a?b",
    "https://api.weather.com",
    "tls://secure.weather.com",
    "tcp://api.weather.com:5432",
    "grpc://api.weather.com:50051",
    "https://evil.example",
    "http://evil.example",
    "http://api.weather.com:8081",
    "tcp://evil.example:9090",
    "https://a.b.none.com",
    "http://empty.weather.com",
    "http://static.weather.com",
    "http://sniff.weather.com:7000",
    "tcp://sniff.weather.com:7000",
    "tcp://sniffvip.weather.com:7001",
    "https://static.weather.com:80",
    "tcp://198.18.4.4:22",
]
# A gateway that takes HTTP for one host, and a VirtualService that leads to it and out of it.
GATEWAY = documents(
    entry("out", "out.example", {80: "HTTP"}),
    document(
        "Gateway",
        "eg",
        "default",
        {
            "selector": {"istio": "egressgateway"},
            "servers": [
                {
                    "port": {"number": 80, "name": "http", "protocol": "HTTP"},
                    "hosts": ["out.example"],
                }
            ],
        },
    ),
    document(
        "VirtualService",
        "through",
        "default",
        {
            "hosts": ["out.example"],
            "gateways": ["mesh", "eg"],
            "http": [
                {
                    "match": [{"gateways": ["mesh"], "port": 80}],
                    "route": [
                        {
                            "destination": {
                                "host": "istio-egressgateway.istio-system.svc.cluster.local",
                                "port": {"number": 80},
                            }
                        }
                    ],
                },
                {
                    "match": [{"gateways": ["eg"], "port": 80}],
                    "route": [{"destination": {"host": "out.example", "port": {"number": 80}}}],
                },
            ],
        },
    ),
)


def foretold_of(contract: Contract, url: str, workload: Workload | None = None) -> Foretold:
    """What is foretold of one URL."""
    return foretell(Foresight(contract, workload), Target.parse(url))


def told(foretold: Foretold) -> dict[str, str]:
    """The lines by their labels; further lines of one label are joined."""
    found: dict[str, str] = {}
    label = ""
    for line in foretold.lines():
        label = line[:10].strip() or label
        found[label] = f"{found[label]}\n{line[10:]}" if label in found else line[10:]
    return found


@pytest.mark.parametrize("mesh", [MeshConfig(), OPEN], ids=["closed", "open"])
def test_as_the_real_probe(backend: LocalBackend, mesh: MeshConfig) -> None:
    """Verdict, listener, chain, route and cluster are those of a probe through Envoy."""
    contract = loads(CONTRACT, file="egress.yaml", mesh=mesh)
    pod, foresight = Egress(backend, contract, timeout=30.0), Foresight(contract)
    for url in URLS:
        outcome, foretold = pod.probe(url), foretell(foresight, Target.parse(url))
        decision = foretold.decisions[0][1]
        assert outcome.evidence is not None, url
        met = (
            str(outcome.verdict),
            outcome.evidence.listener,
            outcome.evidence.filter_chain,
            outcome.evidence.route_config,
            outcome.evidence.route,
            outcome.cluster,
        )
        assert met == (
            str(foretold.verdict),
            decision.listener,
            decision.filter_chain,
            decision.route_config,
            decision.route,
            decision.cluster,
        ), url
        told_twice = [
            line.partition(" ")[2].strip()
            for line in outcome.explain().splitlines()
            if line.startswith(("nearest", "edit", "declared"))
        ]
        assert [text for _, text in foretold.told] == told_twice, url


@pytest.mark.parametrize("url", ["http://out.example", "http://out.example/x", "http://no.example"])
def test_through_a_gateway(backend: LocalBackend, url: str) -> None:
    """The gateway's own decision is the last one, as in the records of both proxies."""
    contract = loads(GATEWAY, file="gateway.yaml")
    outcome, foretold = (
        Egress(backend, contract, timeout=30.0).probe(url),
        foretold_of(contract, url),
    )
    assert str(foretold.verdict) == str(outcome.verdict)
    names = [hop.proxy for hop in outcome.hops] or ["sidecar"]
    assert [name for name, _ in foretold.decisions] == names
    assert foretold.decisions[-1][1].cluster == outcome.cluster


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("without", ["", "gateway", "originate"])
def test_as_the_real_probe_through_gateways(backend: LocalBackend, form: str, without: str) -> None:
    """TLS that passes, is ended, added or missing: verdict, reason and proxies are the same."""
    missing = (without,) if without in FORMS[form] else ()
    contract = loads(gateway_documents(*pieces(FORMS[form], *missing)), file="egress.yaml")
    foresight, pod = Foresight(contract), Egress(backend, contract, timeout=30.0)
    for url in ("http://api.weather.com/v3", "https://api.weather.com/v3"):
        outcome, foretold = pod.probe(url), foretell(foresight, Target.parse(url))
        assert str(foretold.verdict) == str(outcome.verdict), url
        proxies = [hop.proxy for hop in outcome.hops] or ["sidecar"]
        assert [name for name, _ in foretold.decisions] == proxies, url
        if foretold.verdict is Verdict.BLOCKED:
            assert foretold.judgement.reason == outcome.reason


def test_a_gateway_takes_part() -> None:
    """Both rules, the Gateway and the entry are named with their places."""
    lines = told(foretold_of(loads(GATEWAY, file="g.yaml"), "http://out.example"))
    assert lines["gateway"] == "istio-egressgateway.istio-system"
    parts = lines["took part"]
    for text in (
        "VirtualService default/through",
        "Gateway default/eg",
        "ServiceEntry default/out",
    ):
        assert text in parts
    assert "(http[0])" in parts
    assert "(http[1])" in parts


def test_the_whole_story() -> None:
    """Each choice with its reason, each resource with its place, and what would change it."""
    contract = loads(
        documents(
            entry("a", "a.example", {80: "HTTP"}),
            destination_rule("d", "a.example", trafficPolicy={"tls": {"mode": "SIMPLE"}}),
            sidecar(egress=[{"hosts": ["./*"]}]),
        ),
        file="egress.yaml",
    )
    lines = told(foretold_of(contract, "http://a.example", Workload("default", {"app": "web"})))
    assert lines["verdict"].startswith("REACHABLE: outbound|80||a.example takes it")
    assert lines["from"] == "default (app=web)"
    assert lines["dialled"] == "198.18.0.1:80 (standing for whatever the name resolves to)"
    assert lines["listener"].startswith("0.0.0.0_80: it takes port 80 of every address")
    assert lines["host"] == "a.example:80: the Host a.example is of its domains"
    assert lines["cluster"].endswith("with TLS of its own")
    assert lines["took part"].splitlines() == [
        "ServiceEntry default/a at egress.yaml:8:5 declares outbound|80||a.example",
        "DestinationRule default/d at egress.yaml:21:9 shapes outbound|80||a.example",
        "Sidecar default/scope at egress.yaml:29:9 decides what this workload sees",
    ]
    assert lines["edit"] == "to block it, take a.example out at egress.yaml:8:5"


def test_policies_take_part_in_what_nothing_declares() -> None:
    """Whose outboundTrafficPolicy it is, and what it says."""
    a = entry("a", "a.example", {80: "HTTP"})
    closed = told(foretold_of(loads(a), "http://b.example"))
    assert "outboundTrafficPolicy of the mesh is REGISTRY_ONLY" in closed["took part"]
    own = sidecar(outboundTrafficPolicy={"mode": "ALLOW_ANY"})
    opened = foretold_of(loads(documents(a, own), file="s.yaml"), "http://b.example")
    assert opened.verdict is Verdict.UNDECLARED
    assert "outboundTrafficPolicy of the Sidecar at s.yaml:" in told(opened)["took part"]


@pytest.mark.parametrize("url", ["http://x.example", "https://x.example"])
def test_what_stands_in_for_passthrough(url: str) -> None:
    """Clusters that are of no host and port, as those that resolve any name."""
    policy = OutboundTrafficPolicy("ALLOW_ANY_DYNAMIC_DNS")
    mesh = MeshConfig(outbound_traffic_policy=policy)
    foretold = foretold_of(loads(entry("a", "a.example", {80: "HTTP"}), mesh=mesh), url)
    assert foretold.verdict is Verdict.UNDECLARED
    assert (
        "outboundTrafficPolicy of the mesh is ALLOW_ANY_DYNAMIC_DNS" in told(foretold)["took part"]
    )


def test_an_egress_proxy() -> None:
    """What a Sidecar sends to its egress proxy is undeclared all the same."""
    proxy = entry("p", "proxy.example", {3128: "HTTP"})
    policy = {
        "mode": "ALLOW_ANY",
        "egressProxy": {"host": "proxy.example", "port": {"number": 3128}},
    }
    contract = loads(documents(proxy, sidecar(outboundTrafficPolicy=policy)))
    assert foretold_of(contract, "https://x.example").verdict is Verdict.UNDECLARED


def test_ipv6() -> None:
    """An address is written with brackets where a port follows it."""
    lines = told(foretold_of(loads(CONTRACT), "http://[2001:db8::1]:8089"))
    assert lines["dialled"] == "[2001:db8::1]:8089 (the address itself)"
    assert lines["listener"].startswith("virtualOutbound: no listener has [2001:db8::1]:8089")


def test_addresses() -> None:
    """What a name resolves to is what the contract says of it, or what is given."""
    contract = loads(entry("t", "t.example", {5432: "TCP"}, addresses=["240.0.0.9"]), file="t.yaml")
    foresight = Foresight(contract)
    target = Target.parse("tcp://t.example:5432")
    assert foretell(foresight, target).verdict is Verdict.REACHABLE
    assert "t.yaml:15:3 gives it" in told(foretell(foresight, target))["dialled"]
    elsewhere = foretell(foresight, target, "203.0.113.9")
    assert elsewhere.verdict is Verdict.BLOCKED
    assert "let t.example resolve to one of these addresses" in told(elsewhere)["edit"]
    captured = Foresight(loads(entry("t", "t.example", {5432: "TCP"})), Workload(dns_capture=True))
    assert told(foretell(captured, target))["dialled"].startswith("240.240.0.1:5432 (Istio's agent")


def test_json() -> None:
    """The same as plain values."""
    values = foretold_of(loads(GATEWAY, file="g.yaml"), "http://out.example").to_json()
    assert values["schema"] == 1
    assert [it["proxy"] for it in values["proxies"]] == [
        "sidecar",
        "istio-egressgateway.istio-system",
    ]
    assert values["proxies"][1]["rule"] == "default/through http[1]"
    assert {it["name"] for it in values["took_part"]} >= {"Gateway default/eg"}

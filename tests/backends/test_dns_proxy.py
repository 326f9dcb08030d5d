"""DNS proxying: names are answered as Istio's agent does, and calls go to what it says."""

from __future__ import annotations

import socket

import pytest

from pytest_egress.backends.dns_proxy import AgentResolver
from pytest_egress.backends.local import LocalBackend
from pytest_egress.contract import loads
from pytest_egress.contract.resources import Workload
from pytest_egress.egress import Egress
from pytest_egress.envoy.name_table import Name
from pytest_egress.probe import DnsAnswer
from pytest_egress.verdict import Verdict
from tests.observed import documents, entry

A, AAAA, BOTH = socket.AF_INET, socket.AF_INET6, socket.AF_UNSPEC


class Upstream:
    """Whom the agent asks; remembers what."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def lookup(self, name: str, family: int, timeout: float) -> DnsAnswer:
        """The same answer to everything."""
        self.asked.append(name)
        return DnsAnswer(name, "NXDOMAIN")


NAMES = {
    "api.example.com": Name(("10.0.0.1", "10.0.0.2", "10.0.0.1")),
    "*.wild.example.com": Name(("10.0.0.3",)),
    "*.example.com": Name(("10.0.0.4",)),
    "both.example.org": Name(("10.0.0.5", "2001:db8::5")),
    "Mixed.Example.org.": Name(("10.0.0.6",)),
    "redis.shop.svc.cluster.local": Name(("10.96.0.7",), ("redis", "shop")),
    "db.other.svc.cluster.local": Name(("10.96.0.8",), ("db", "other")),
}


@pytest.fixture
def upstream() -> Upstream:
    """Whom the agent asks."""
    return Upstream()


@pytest.fixture
def agent(upstream: Upstream) -> AgentResolver:
    """The agent of a pod in the namespace shop."""
    return AgentResolver(NAMES, "shop", upstream)


@pytest.mark.parametrize(
    ("name", "family", "addresses", "cnames"),
    [
        ("api.example.com", A, ("10.0.0.1", "10.0.0.2"), ()),
        ("API.example.com.", A, ("10.0.0.1", "10.0.0.2"), ()),
        ("api.example.com", AAAA, (), ()),
        ("api.example.com", BOTH, ("10.0.0.1", "10.0.0.2"), ()),
        ("api.example.com.shop.svc.cluster.local", A, ("10.0.0.1", "10.0.0.2"),
         ("api.example.com",)),
        ("api.example.com.shop.svc.cluster.local", AAAA, (), ()),
        ("a.wild.example.com", A, ("10.0.0.3",), ()),
        ("a.b.wild.example.com", A, ("10.0.0.3",), ()),
        ("wild.example.com", A, ("10.0.0.4",), ()),
        ("a.wild.example.com.shop.svc.cluster.local", A, ("10.0.0.3",), ("*.wild.example.com",)),
        ("both.example.org", BOTH, ("10.0.0.5", "2001:db8::5"), ()),
        ("both.example.org", AAAA, ("2001:db8::5",), ()),
        ("mixed.example.org", A, ("10.0.0.6",), ()),
        ("redis.shop.svc.cluster.local", A, ("10.96.0.7",), ()),
        ("redis.shop.svc", A, ("10.96.0.7",), ()),
        ("redis.shop", A, ("10.96.0.7",), ()),
        ("redis", A, ("10.96.0.7",), ()),
        ("redis.shop.shop.svc.cluster.local", A, ("10.96.0.7",), ("redis.shop",)),
        ("db.other", A, ("10.96.0.8",), ()),
    ],
)  # fmt: skip
def test_what_the_agent_knows(
    agent: AgentResolver,
    upstream: Upstream,
    name: str,
    family: int,
    addresses: tuple[str, ...],
    cnames: tuple[str, ...],
) -> None:
    """Exact names, then wildcards from the nearest on; another family is empty, not unknown."""
    answer = agent.lookup(name, family, 1.0)
    assert (answer.rcode, answer.addresses, answer.cnames) == ("NOERROR", addresses, cnames)
    assert answer.ttl == (30 if addresses else None)
    assert upstream.asked == []


@pytest.mark.parametrize(
    "name", ["example.com", "example.org", "db", "api.example.org.other.svc.cluster.local", "com"]
)
def test_what_it_does_not_know_is_asked_on(
    agent: AgentResolver, upstream: Upstream, name: str
) -> None:
    """The apex of a wildcard, short names of other namespaces, other search domains."""
    assert agent.lookup(name, A, 1.0).rcode == "NXDOMAIN"
    assert upstream.asked == [name]


CONTRACT = documents(
    entry("one", "one.example.com", {5432: "TCP"}),
    entry("two", "two.example.com", {5432: "TCP"}),
    entry("web", "web.example.com", {80: "HTTP"}),
    entry("dynamic", "*.dynamic.example.com", {443: "TLS"}, "DYNAMIC_DNS"),
    entry("none", "none.example.com", {443: "TLS"}, "NONE"),
)


@pytest.fixture
def pod(backend: LocalBackend) -> Egress:
    """A pod whose names Istio's agent resolves."""
    return Egress(backend, loads(CONTRACT), Workload(dns_capture=True))


def test_names_resolve_to_allocated_addresses(pod: Egress) -> None:
    """In order of creation; what has no address is asked of the pod's name server."""
    assert pod.resolve("one.example.com").addresses == ("240.240.0.1",)
    assert pod.resolve("two.example.com").addresses == ("240.240.0.2",)
    assert pod.resolve("web.example.com").addresses == ("240.240.0.3",)
    assert pod.resolve("a.b.dynamic.example.com").addresses == ("240.240.0.4",)
    assert pod.resolve("two.example.com", "AAAA").rcode == "NOERROR"
    assert not pod.resolve("two.example.com", "AAAA").addresses
    for name in ("none.example.com", "evil.example"):
        (address,) = pod.resolve(name).addresses
        assert address.startswith("198.18.")


def test_each_tcp_entry_has_a_listener_of_its_own(pod: Egress) -> None:
    """Two entries on one port are told apart, and the port is open for nobody else."""
    for number, name in enumerate(("one", "two"), 1):
        outcome = pod.connect(f"{name}.example.com:5432")
        assert outcome.reachable
        assert outcome.evidence is not None
        assert outcome.evidence.listener == f"240.240.0.{number}_5432"
        assert outcome.evidence.cluster == f"outbound|5432||{name}.example.com"
    assert pod.connect("evil.example:5432").blocked
    off = pod.with_dns_proxy(False)
    for name in ("one.example.com", "two.example.com", "evil.example"):
        outcome = off.connect(f"{name}:5432")
        assert outcome.evidence is not None
        assert outcome.evidence.cluster == "outbound|5432||one.example.com"


def test_http_and_tls_go_on_by_name(pod: Egress) -> None:
    """An allocated address changes where the pod connects, not who answers."""
    for url, address in (
        ("http://web.example.com", "240.240.0.3"),
        ("tls://a.dynamic.example.com", "240.240.0.4"),
    ):
        outcome = pod.probe(url)
        assert outcome.verdict is Verdict.REACHABLE
        assert outcome.addresses == (address,)
    named = {"address": "240.240.0.3", "host_header": "240.240.0.3"}
    assert pod.get("http://web.example.com", **named).reachable
    assert pod.get("http://evil.example").blocked


def test_the_mesh_s_other_workloads_have_it_too(pod: Egress) -> None:
    """`as_workload` changes who asks, not how the mesh resolves names."""
    other = pod.as_workload("shop", {"app": "web"})
    assert other.workload == Workload("shop", {"app": "web"}, dns_capture=True)
    assert other.resolve("one.example.com").addresses == ("240.240.0.1",)


def test_without_an_entry_its_address_is_gone(pod: Egress) -> None:
    """The others keep theirs: a status stays where it is written."""
    rest = pod.without("one.example.com")
    assert rest.resolve("two.example.com").addresses == ("240.240.0.2",)
    assert rest.connect("two.example.com:5432").reachable
    assert rest.resolve("one.example.com").addresses[0].startswith("198.18.")

"""The nearest declaration of what was refused, and the edit that would let it through."""

from __future__ import annotations

import pytest

from pytest_egress.backends.local import LocalBackend
from pytest_egress.contract import loads
from pytest_egress.contract.resources import Workload
from pytest_egress.egress import Egress
from pytest_egress.evidence import Evidence
from pytest_egress.probe import Target
from pytest_egress.report.nearest import covers, matches, nearest, within
from tests.observed import documents, entry, sidecar
from tests.report.edits import follow

WEATHER = entry("weather", "api.weather.com", {80: "HTTP", 443: "HTTPS"})
PRIVATE = entry("private", "private.example.com", {80: "HTTP"}, namespace="shop", exportTo=["till"])
HIDDEN = entry("hidden", "hidden.example.com", {80: "HTTP"}, namespace="shop", exportTo=["~"])
FAR = entry("far", "far.example.com", {80: "HTTP"}, namespace="shop")
DATABASE = entry("database", ["db1.example.com", "db2.example.com"], {443: "TLS"})
WILDCARD = entry("wildcard", "*.wild.com", {80: "HTTP"}, "DYNAMIC_DNS")
VIP = entry(
    "vip", "vip.example.com", {5432: "TCP"}, addresses=["203.0.113.0/28"], resolution="NONE"
)
SCOPE = sidecar(egress=[{"hosts": ["./*"]}])


def advice(text: str, url: str, workload: Workload | None = None, **record: str) -> tuple[str, str]:
    """What the nearest declaration declares, and the edit."""
    evidence = Evidence(
        record.pop("kind", "connection"),
        "s",
        record.pop("destination", "198.18.0.1:80"),
        "l",
        **record,  # type: ignore[arg-type]
    )
    near = nearest(loads(text, file="e.yaml"), workload or Workload(), Target.parse(url), evidence)
    assert (near.position is None) == (near.declares == "nothing like it")
    return near.declares, near.edit


@pytest.mark.parametrize(
    ("text", "url", "declares", "edit"),
    [
        pytest.param(
            WEATHER,
            "http://api.weather.com:8080",
            "api.weather.com on 80/HTTP, 443/HTTPS",
            "add {number: 8080, name: http-8080, protocol: HTTP} to the ports at e.yaml:13:5",
            id="another port",
        ),
        pytest.param(
            WEATHER,
            "tls://api.weather.com:80",
            "api.weather.com on 80/HTTP",
            "change the protocol at e.yaml:12:15 to TLS",
            id="another protocol",
        ),
        pytest.param(
            PRIVATE,
            "http://private.example.com",
            "private.example.com on 80/HTTP, exported to till only",
            "add 'default' to exportTo at e.yaml:15:3",
            id="exported to others",
        ),
        pytest.param(
            HIDDEN,
            "http://hidden.example.com",
            "hidden.example.com on 80/HTTP, exported to ~ only",
            "set exportTo: ['default'] at e.yaml:15:3",
            id="exported to no one",
        ),
        pytest.param(
            documents(FAR, SCOPE),
            "http://far.example.com",
            "far.example.com on 80/HTTP, but a Sidecar decides what default sees",
            "add 'shop/far.example.com' to the hosts at e.yaml:23:5",
            id="hidden by a Sidecar",
        ),
        pytest.param(
            WEATHER,
            "https://api.wether.com",
            "api.weather.com on 80/HTTP, 443/HTTPS",
            "add api.wether.com to the hosts at e.yaml:8:5",
            id="a similar name",
        ),
        pytest.param(
            WEATHER,
            "http://api.wether.com:81",
            "api.weather.com on 80/HTTP, 443/HTTPS",
            "declare it: a ServiceEntry with hosts: [api.wether.com], ports: "
            "[{number: 81, name: http-81, protocol: HTTP}], resolution: DNS",
            id="a similar name on another port",
        ),
        pytest.param(
            WILDCARD,
            "http://wild.com",
            "*.wild.com on 80/HTTP",
            "declare it: a ServiceEntry with hosts: [wild.com], ports: "
            "[{number: 80, name: http-80, protocol: HTTP}], resolution: DNS",
            id="the apex of a wildcard that may hold nothing else",
        ),
        pytest.param(
            WILDCARD,
            "https://a.wild.com",
            "*.wild.com on 80/HTTP",
            "add {number: 443, name: tls-443, protocol: TLS} to the ports at e.yaml:10:5",
            id="DYNAMIC_DNS knows no HTTPS",
        ),
        pytest.param(
            DATABASE,
            "tcp://db1.example.com:5432",
            "db1.example.com on 443/TLS",
            "declare it: a ServiceEntry with hosts: [db1.example.com], ports: "
            "[{number: 5432, name: tcp-5432, protocol: TCP}], resolution: DNS",
            id="TCP cannot join an entry of two hosts",
        ),
        pytest.param(
            WEATHER,
            "tcp://198.51.100.7:22",
            "nothing like it",
            "declare it: a ServiceEntry with a host name of your choice, addresses: "
            "[198.51.100.7], ports: [{number: 22, name: tcp-22, protocol: TCP}], resolution: NONE",
            id="a bare address",
        ),
        pytest.param(
            VIP,
            "tcp://203.0.113.4:22",
            "vip.example.com on 5432/TCP",
            "add {number: 22, name: tcp-22, protocol: TCP} to the ports at e.yaml:10:5",
            id="an address within a declared range",
        ),
        pytest.param(
            VIP,
            "tcp://vip.example.com:5432",
            "vip.example.com on 5432/TCP at 203.0.113.0/28",
            "let vip.example.com resolve to one of these addresses (it was dialled at 198.18.0.1), "
            "or take them out at e.yaml:15:3",
            id="dialled at another address",
        ),
        pytest.param(
            WEATHER,
            "http://api.weather.com",
            "api.weather.com on 80/HTTP",
            "speak HTTP/1.1 or HTTP/2: what was sent is neither, and this port takes no other",
            id="not the HTTP that a listener takes",
        ),
        pytest.param(
            WEATHER,
            "https://api.weather.com",
            "api.weather.com on 443/HTTPS",
            "send the server name api.weather.com in the handshake (SNI; it was absent)",
            id="no server name",
        ),
    ],
)
def test_nearest(text: str, url: str, declares: str, edit: str) -> None:
    """The declaration that comes nearest, in words, and the edit with its position."""
    assert advice(text, url) == (declares, edit)


def test_nothing_like_it() -> None:
    """Without a similar name the whole declaration is spelled out."""
    declares, edit = advice(WEATHER, "grpcs://evil.example")
    assert declares == "nothing like it"
    assert edit == (
        "declare it: a ServiceEntry with hosts: [evil.example], ports: "
        "[{number: 443, name: https-443, protocol: HTTPS}], resolution: DNS"
    )


def test_what_was_sent_is_told() -> None:
    """Where the declaration fits, the request differs: its Host or its server name."""
    _, edit = advice(WEATHER, "http://api.weather.com", kind="http", authority="evil.example")
    assert edit == "send the Host header api.weather.com (it was evil.example)"
    _, edit = advice(WEATHER, "tls://api.weather.com", requested_server_name="evil.example")
    assert edit.endswith("(SNI; it was evil.example)")


def test_the_entry_that_fits_best_is_chosen() -> None:
    """Of two entries for one host, the one whose port has the protocol explains more."""
    text = documents(entry("tcp", "api.weather.com", {443: "TCP"}), WEATHER)
    declares, edit = advice(text, "https://api.weather.com")
    assert declares == "api.weather.com on 443/HTTPS"
    assert edit.startswith("send the server name")


def test_a_sidecar_of_others_is_not_blamed() -> None:
    """Only the Sidecar that applies to the workload can hide something from it."""
    other = sidecar("shop", egress=[{"hosts": ["./*"]}])
    _, edit = advice(documents(WEATHER, other), "https://api.weather.com")
    assert edit.startswith("send the server name")


@pytest.mark.parametrize(
    ("pattern", "host", "covered"),
    [
        ("api.weather.com", "API.weather.com.", True),
        ("*.weather.com", "a.b.weather.com", True),
        ("*.weather.com", "weather.com", False),
        ("*.weather.com", "notweather.com", False),
        ("weather.com", "api.weather.com", False),
    ],
)
def test_matches(pattern: str, host: str, covered: bool) -> None:
    """A host covers itself in any case; a wildcard every depth below its apex."""
    assert matches(pattern, host) is covered


def test_addresses_cover_too() -> None:
    """An address or range declares the IP addresses in it, of its own family."""
    assert within(["203.0.113.7/28", "2001:db8::/32"], "203.0.113.1")
    assert within(["2001:db8::/32"], "2001:db8::1")
    assert not within(["203.0.113.7", "2001:db8::/32"], "203.0.113.8")
    assert not within(["203.0.113.7"], "api.weather.com")
    (vip,) = loads(VIP).service_entries
    assert covers(vip, "203.0.113.15")
    assert covers(vip, "vip.example.com")
    assert not covers(vip, "203.0.113.16")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        (WEATHER, "http://api.weather.com:8080"),
        (WEATHER, "tcp://api.weather.com:5432"),
        (WEATHER, "grpcs://api.weather.com:8443"),
        (WEATHER, "tls://api.weather.com:80"),
        (WEATHER, "http://api.weather.com:443"),
        (WEATHER, "tcp://api.weather.com:80"),
        (WEATHER, "https://api.wether.com"),
        (WEATHER, "http://api.wether.com"),
        (WILDCARD, "https://a.wild.com"),
        (PRIVATE, "http://private.example.com"),
        (HIDDEN, "http://hidden.example.com"),
        (documents(FAR, SCOPE), "http://far.example.com"),
        (VIP, "tcp://203.0.113.4:22"),
        (WEATHER, "https://evil.example"),
        (WEATHER, "tcp://198.51.100.7:22"),
        (WEATHER, "http://198.51.100.7"),
        (DATABASE, "tcp://db1.example.com:5432"),
        (WILDCARD, "http://wild.com"),
    ],
)
def test_the_edit_lets_it_through(backend: LocalBackend, text: str, url: str) -> None:
    """Blocked; the edit made in the text as the explanation says it; reachable."""
    before = Egress(backend, loads(text)).probe(url)
    assert before.blocked
    after = Egress(backend, loads(follow(before.explain(), text))).probe(url)
    assert after.reachable
    assert after.declared

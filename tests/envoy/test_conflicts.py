"""Two services on one bind and port."""

from __future__ import annotations

import pytest

from pytest_egress.envoy.conflicts import Outcome, resolve_conflict
from pytest_egress.envoy.protocols import Protocol
from tests.envoy.build import chains, compiled, entry, names

_HTTP_MATCH = {"transport_protocol": "raw_buffer", "application_protocols": ["http/1.1", "h2c"]}


@pytest.mark.parametrize(
    ("existing", "incoming", "outcome"),
    [
        (None, "TCP", Outcome.NEW),
        ("HTTP", "GRPC", Outcome.SHARE),
        ("Unsupported", "HTTP", Outcome.SHARE),
        ("Unsupported", "Unsupported", Outcome.SHARE),
        ("TCP", "HTTP", Outcome.SNIFF),
        ("HTTP", "TLS", Outcome.SNIFF),
        ("HTTPS", "Unsupported", Outcome.SNIFF),
        ("TCP", "TLS", Outcome.MERGE),
        ("Unsupported", "TLS", Outcome.MERGE),
        ("HTTP", "Unsupported", Outcome.NEW),
        ("TCP", "HTTP_PROXY", Outcome.NEW),
        ("Mongo", "HTTP_PROXY", Outcome.NEW),
        ("Mongo", "Mongo", Outcome.MERGE),
        ("MySQL", "MySQL", Outcome.MERGE),
        ("Mongo", "TCP", Outcome.DROP),
        ("TCP", "MySQL", Outcome.DROP),
        ("Mongo", "MySQL", Outcome.DROP),
        ("Unsupported", "Mongo", Outcome.DROP),
        ("MySQL", "HTTP", Outcome.DROP),
        ("MySQL", "Unsupported", Outcome.DROP),
    ],
)
def test_outcome(existing: Protocol | None, incoming: Protocol, outcome: Outcome) -> None:
    """The table of istiod's conflict rules, server-first protocols included."""
    assert resolve_conflict(existing, incoming) is outcome


def test_oldest_of_two_equal_chains_wins() -> None:
    """Two address-less TCP services on one port: the younger gets no chain and is no origin."""
    young = entry("a.example.com", "5432/TCP", creation_timestamp=2)
    old = entry("b.example.com", "5432/TCP", creation_timestamp=1)
    program = compiled(young, old)
    assert chains(program, "0.0.0.0_5432") == [({}, "outbound|5432||b.example.com")]
    assert program.listener_origins["0.0.0.0_5432"] == (old,)


def test_tcp_without_address_takes_undeclared_server_names() -> None:
    """Next to TLS chains an address-less TCP service is the default chain of the port."""
    program = compiled(entry("tls.example.com", "443/TLS"), entry("tcp.example.com", "443/TCP"))
    assert chains(program, "0.0.0.0_443") == [
        ({"server_names": ["tls.example.com"]}, "outbound|443||tls.example.com"),
        ({}, "outbound|443||tcp.example.com"),
    ]


def test_http_and_tcp_share_a_port_by_detection() -> None:
    """HTTP goes to the routes of the port, other bytes to the TCP service, whoever was first."""
    web, raw = entry("web.example.com", "8080/HTTP"), entry("raw.example.com", "8080/TCP")
    for resources in ((web, raw), (raw, web)):
        program = compiled(*resources)
        assert chains(program, "0.0.0.0_8080") == [
            (_HTTP_MATCH, "8080"),
            ({}, "outbound|8080||raw.example.com"),
        ]


def test_mysql_keeps_its_port_to_itself() -> None:
    """A MySQL port is not shared with HTTP, but the HTTP service keeps its cluster."""
    first = entry("db.example.com", "3306/MySQL", creation_timestamp=1)
    program = compiled(first, entry("web.example.com", "3306/HTTP", creation_timestamp=2))
    assert chains(program, "0.0.0.0_3306") == [({}, "outbound|3306||db.example.com")]
    assert names(program.clusters) == [
        "outbound|3306||db.example.com",
        "outbound|3306||web.example.com",
    ]


def test_overlapping_cidrs_keep_their_own_chains() -> None:
    """Ranges that differ stay apart for longest-prefix match; ranges equal once masked do not."""
    program = compiled(
        entry("a.example.com", "9000/TCP", resolution="NONE", addresses=("10.1.0.0/16",)),
        entry("b.example.com", "9000/TCP", resolution="NONE", addresses=("10.1.2.3/24",)),
        entry("c.example.com", "9000/TCP", resolution="NONE", addresses=("10.1.9.9/16",)),
    )
    assert chains(program, "0.0.0.0_9000") == [
        (
            {"prefix_ranges": [{"address_prefix": "10.1.0.0", "prefix_len": 16}]},
            "outbound|9000||a.example.com",
        ),
        (
            {"prefix_ranges": [{"address_prefix": "10.1.2.3", "prefix_len": 24}]},
            "outbound|9000||b.example.com",
        ),
        ({}, "BlackHoleCluster"),
    ]


def test_http_proxy_port_replaces_an_earlier_listener() -> None:
    """HTTP_PROXY makes its listener anew, on a port that a TCP service had."""
    program = compiled(
        entry("raw.example.com", "3128/TCP", creation_timestamp=1),
        entry("proxy.example.com", "3128/HTTP_PROXY", creation_timestamp=2),
    )
    assert chains(program, "0.0.0.0_3128") == [({}, "3128")]

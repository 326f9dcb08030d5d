"""Lint: accepted by Istio, and rarely meant."""

from __future__ import annotations

import pytest

from pytest_egress.contract import check, verdict
from tests.contract.samples import ENTRY


def lint(text: str) -> list[tuple[str, int, int]]:
    """Rule and place of each lint warning."""
    return [
        (p.rule.removeprefix("lint/"), p.position.line, p.position.column)
        for p in check(text)
        if p.rule.startswith("lint/")
    ]


def test_a_plain_entry_has_nothing_to_say_about() -> None:
    """No noise."""
    assert check(ENTRY) == []


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ([("  location: MESH_EXTERNAL\n", "")], [("location-unset", 6, 1)]),
        ([("  resolution: DNS\n", "")], [("resolution-unset", 6, 1)]),
        ([("resolution: DNS", "resolution: STATIC")], [("static-without-endpoints", 13, 15)]),
        (
            [("resolution: DNS", "resolution: STATIC\n  addresses: [10.0.0.0/8]")],
            [("addresses-not-endpoints", 14, 15)],
        ),
        (
            [
                ("api.weather.example", '"*.weather.example"'),
                ("resolution: DNS", "resolution: DNS\n  endpoints: [{address: a.b}]"),
            ],
            [("wildcard-dns", 8, 5)],
        ),
        ([("protocol: TLS", "protocol: HTTP")], [("http-on-443", 12, 15)]),
        ([("protocol: TLS", "protocol: gRPC")], [("http-on-443", 12, 15)]),
        (
            [("resolution: DNS", "resolution: NONE"), ("protocol: TLS", "protocol: TCP")],
            [("open-port", 10, 5)],
        ),
        (
            [("resolution: DNS", "resolution: NONE"), ("protocol: TLS", "protocol: mongo")],
            [("open-port", 10, 5)],
        ),
    ],
)  # fmt: skip
def test_one_entry(changes: list[tuple[str, str]], found: list[tuple[str, int, int]]) -> None:
    """Each finding once, at the value that makes it."""
    text = ENTRY
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    assert lint(text) == found
    assert verdict(check(text)) != "refused"


@pytest.mark.parametrize(
    "addition",
    ["endpoints: [{address: 192.0.2.1}]", "workloadSelector: {labels: {a: b}}"],
)
def test_static_with_somewhere_to_go_is_fine(addition: str) -> None:
    """Endpoints or a selector."""
    assert lint(ENTRY.replace("resolution: DNS", f"resolution: STATIC\n  {addition}")) == []


def test_tcp_with_addresses_is_not_open() -> None:
    """An address limits the port to itself."""
    text = ENTRY.replace("resolution: DNS", "resolution: NONE\n  addresses: [192.0.2.1]")
    assert lint(text.replace("TLS", "TCP")) == []


def test_the_same_host_and_port_in_two_entries() -> None:
    """Found at the later one, pointing at the first; case does not matter."""
    second = ENTRY.replace("name: weather", "name: b").replace("api.weather", "API.Weather")
    problems = check(f"{ENTRY}---\n{second}", file="x.yaml")
    assert [p.rule for p in problems] == ["lint/duplicate-host-port"]
    assert (problems[0].position.line, problems[0].position.column) == (23, 5)
    assert "x.yaml:8:5" in problems[0].message


def test_the_same_host_on_another_port_is_fine() -> None:
    """Two entries may share a host."""
    second = ENTRY.replace("name: weather", "name: b").replace("443", "8443")
    assert lint(f"{ENTRY}---\n{second}") == []


def test_tcp_that_swallows_the_port_of_another_entry() -> None:
    """Without addresses it listens on 0.0.0.0:443 as the TLS entry does."""
    tcp = ENTRY.replace("weather", "db").replace("TLS", "TCP")
    assert lint(f"{ENTRY}---\n{tcp}") == [("tcp-swallows-port", 25, 5)]
    addressed = tcp.replace("resolution: DNS", "resolution: DNS\n  addresses: [192.0.2.1]")
    assert lint(f"{ENTRY}---\n{addressed}") == []


def test_private_entries_of_two_namespaces_do_not_meet() -> None:
    """``exportTo: ["."]`` keeps both of them at home; an override of a public one is meant."""
    private = ENTRY.replace("resolution: DNS", 'resolution: DNS\n  exportTo: ["."]')
    elsewhere = private.replace("namespace: shop", "namespace: bank")
    assert lint(f"{private}---\n{elsewhere}") == []
    assert lint(f"{ENTRY}---\n{elsewhere}") == []
    public = ENTRY.replace("namespace: shop", "namespace: bank")
    assert [rule for rule, *_ in lint(f"{ENTRY}---\n{public}")] == ["duplicate-host-port"]
    tcp = elsewhere.replace("TLS", "TCP").replace("weather", "db")
    assert lint(f"{private}---\n{tcp}") == []
    assert [rule for rule, *_ in lint(f"{ENTRY}---\n{tcp}")] == ["tcp-swallows-port"]

"""Names, addresses and labels compared as Istio compares them."""

from __future__ import annotations

import pytest

from pytest_egress.envoy.names import (
    cluster_name,
    join_host_port,
    labels_match,
    parse_prefix,
    subset_of,
)


@pytest.mark.parametrize(
    ("host", "pattern", "covered"),
    [
        ("a.com", "a.com", True),
        ("A.com", "a.com", False),
        ("a.com", "*.com", True),
        ("a.b.com", "*.com", True),
        ("b.com", "*.b.com", False),
        ("a.com", "*", True),
        ("*.b.com", "*.com", True),
        ("*.com", "*.com", True),
        ("*.com", "*.b.com", False),
        ("*.com", "a.com", False),
    ],
)
def test_subset_of(host: str, pattern: str, *, covered: bool) -> None:
    """A pattern covers a host in one direction only, at any depth, without the apex."""
    assert subset_of(host, pattern) is covered


@pytest.mark.parametrize(
    "text", ["10.0.0.1", "10.0.0.0/255.0.0.0", "10.0.0.0/08", "10.0.0.0/33", "10.0.0.0/", "x/8"]
)
def test_not_a_prefix(text: str) -> None:
    """Only ``address/length`` is a prefix; netmasks and odd lengths are not."""
    assert parse_prefix(text) is None


def test_prefix_keeps_host_bits() -> None:
    """``10.1.2.3/8`` keeps its address, for Envoy gets it unmasked."""
    prefix = parse_prefix("10.1.2.3/8")
    assert prefix is not None
    assert str(prefix) == "10.1.2.3/8"


def test_joined_names() -> None:
    """IPv6 hosts are bracketed; cluster names are Istio's."""
    assert join_host_port("2001:db8::1", 80) == "[2001:db8::1]:80"
    assert cluster_name("a.com", 443) == "outbound|443||a.com"
    assert cluster_name("a.com", 443, "v1") == "outbound|443|v1|a.com"


def test_labels() -> None:
    """Each pair of the selector must be there; none at all matches everything."""
    assert labels_match({}, {})
    assert labels_match({"a": "1"}, {"a": "1", "b": "2"})
    assert not labels_match({"a": "1", "b": "3"}, {"a": "1", "b": "2"})

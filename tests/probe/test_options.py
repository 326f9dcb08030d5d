"""Which option values are refused."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_egress.probe import Options, ProbeOptionError


@pytest.mark.parametrize(
    ("field", "value", "advice"),
    [
        ("method", "GE T", "HTTP token"),
        ("method", "", "HTTP token"),
        ("method", "CONNECT", "speaks to a proxy"),
        ("headers", (("a b", "c"),), "header name"),
        ("headers", (("a", "b\r\nc: d"),), "on one line"),
        ("headers", (("a", "\u20ac"),), "Latin-1"),
        ("host_header", "a\nb", "on one line"),
        ("http_version", "2.0", "expected one of 1.0, 1.1, 2"),
        ("http_version", "", "expected one of 1.0, 1.1, 2"),
        ("family", "ipv5", "expected one of any, ipv4, ipv6"),
        ("sni", ".a", "no dot at its ends"),
        ("sni", "\u00fc", "ASCII"),
        ("sni", "a\0b", "ASCII"),
        ("address", "a.example", "expected an IP address"),
        ("alpn", ("",), "1 to 255 bytes"),
        ("client_key", "key.pem", "client_cert with it"),
        ("nonce", "0" * 31, "32 lower-case hex digits"),
        ("nonce", "G" * 32, "32 lower-case hex digits"),
        ("max_body", -1, "0 or more"),
        ("timeout", 0.0, "0 < seconds"),
        ("timeout", float("nan"), "0 < seconds"),
        ("connect_timeout", float("inf"), "0 < seconds"),
        ("quiet", -1.0, "0 < seconds"),
    ],
)
def test_a_value_that_no_probe_can_honour(field: str, value: Any, advice: str) -> None:
    """A bad value is refused when the options are made, with what was expected."""
    with pytest.raises(ProbeOptionError) as caught:
        Options(**{field: value})
    assert advice in str(caught.value)


def test_each_attempt_has_a_nonce_of_its_own() -> None:
    """Two options made alike differ in their nonce and in nothing else."""
    first, second = Options(), Options()
    assert first.nonce != second.nonce
    assert Options(nonce=first.nonce) == first


def test_an_empty_sni_is_allowed() -> None:
    """An empty SNI means that none is sent, which is a probe of its own."""
    assert not Options(sni="").sni

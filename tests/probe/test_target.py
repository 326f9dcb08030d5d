"""What a URL means as a probe's target, and what is refused with which advice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_egress.probe import ProbeOptionError, Target


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://api.weather.com/v3?x=1", ("https", "api.weather.com", 443, "/v3?x=1")),
        ("http://api.weather.com", ("http", "api.weather.com", 80, "/")),
        ("http://api.weather.com?x=1", ("http", "api.weather.com", 80, "/?x=1")),
        ("HTTPS://API.Weather.COM:8443/V3", ("https", "api.weather.com", 8443, "/V3")),
        ("https://api.weather.com./", ("https", "api.weather.com.", 443, "/")),
        ("https://a.example/x#fragment", ("https", "a.example", 443, "/x")),
        ("https://a.example/a b\u00e9", ("https", "a.example", 443, "/a%20b%C3%A9")),
        ("tls://db.example.com", ("tls", "db.example.com", 443, "")),
        ("tcp://db.example.com:5432", ("tcp", "db.example.com", 5432, "")),
        ("tcp://db.example.com:5432/", ("tcp", "db.example.com", 5432, "")),
        ("grpc://a.example", ("grpc", "a.example", 80, "/")),
        ("grpcs://a.example/p.S/M", ("grpcs", "a.example", 443, "/p.S/M")),
        ("http://203.0.113.7:81/", ("http", "203.0.113.7", 81, "/")),
        ("tcp://[2001:DB8:0::1]:22", ("tcp", "2001:db8::1", 22, "")),
        ("https://[::1]", ("https", "::1", 443, "/")),
        ("https://b\u00fccher.example", ("https", "xn--bcher-kva.example", 443, "/")),
        ("https://_dmarc.a.example", ("https", "_dmarc.a.example", 443, "/")),
    ],
)
def test_parse_reads_a_url(url: str, expected: tuple[str, str, int, str]) -> None:
    """Schemes, default ports, literals, IDNA, dots and cases are read as documented."""
    target = Target.parse(url)
    assert (target.scheme, target.host, target.port, target.path) == expected


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("htps://a.example", "did you mean https://?"),
        ("wss://a.example", "did you mean https://?"),
        ("postgres://a.example", "did you mean tcp://?"),
        ("gopher://a.example", "with a scheme of http, https, tls, tcp, grpc, grpcs"),
        ("api.weather.com:443", "did you mean https://api.weather.com:443?"),
        ("tcp://db.example.com", "tcp has no default port, expected tcp://db.example.com:<port>"),
        ("tcp://db.example.com:22/x", "tcp has no path"),
        ("https://a.example:0", "expected 1 to 65535"),
        ("https://a.example:65536", "expected 1 to 65535"),
        ("https://a.example:\u0661", "expected 1 to 65535"),
        ("https://a.example:", "expected 1 to 65535"),
        ("https://user@a.example", "no user information"),
        ("https://2001:db8::1/", "brackets around an IPv6 address"),
        ("https://[2001:db8::1", "expected [IPv6 address]"),
        ("https://[::1]x", "expected [IPv6 address]"),
        ("https://[1.2.3.4]", "is not an IPv6 address"),
        ("https://*.example.com", "a wildcard names many"),
        ("https://1.2.3", "is not an IPv4 address"),
        ("https://", "expected labels"),
        ("https://a..b", "expected labels"),
        ("https://-a.example", "expected labels"),
        ("https://a_b%20.example", "expected labels"),
        (f"https://{'a' * 64}.example", "expected labels"),
        (f"https://{'a.' * 130}b", "expected labels"),
        ("https://\u00fc..b", "is not a valid IDNA name"),
        ("https://a.example/x\r\nHost: b", "expected no control characters"),
    ],
)
def test_parse_refuses_with_advice(url: str, advice: str) -> None:
    """A bad URL is refused with what was expected."""
    with pytest.raises(ProbeOptionError) as caught:
        Target.parse(url)
    assert advice in str(caught.value)


@given(st.text(max_size=40), st.sampled_from(["https://", "tcp://", "http://[", ""]))
def test_parse_accepts_or_refuses(text: str, prefix: str) -> None:
    """Any text is either a target that reads back from its own URL, or an option error."""
    try:
        target = Target.parse(prefix + text)
    except ProbeOptionError:
        return
    assert Target.parse(str(target)) == target


@pytest.mark.parametrize(
    ("url", "name", "authority"),
    [
        ("https://a.example.:443/", "a.example", "a.example."),
        ("http://a.example:8080/", "a.example", "a.example:8080"),
        ("http://[::1]:8080/", "::1", "[::1]:8080"),
        ("grpcs://a.example/", "a.example", "a.example"),
    ],
)
def test_names_that_go_on_the_wire(url: str, name: str, authority: str) -> None:
    """SNI has no trailing dot; Host has a port only where it is not the default."""
    target = Target.parse(url)
    assert (target.name, target.authority) == (name, authority)


@pytest.mark.parametrize(
    "fields",
    [("ftp", "a", 1, "/"), ("http", "", 1, "/"), ("http", "a\n", 1, "/"), ("http", "a", 0, "/")],
)
def test_a_target_made_by_hand_is_checked(fields: tuple[str, str, int, str]) -> None:
    """A target that did not come from parse cannot smuggle a line break or a bad port in."""
    with pytest.raises(ProbeOptionError):
        Target(*fields)

"""Access-log records become evidence, whatever Envoy left out."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_egress.evidence import BLACK_HOLE, PASSTHROUGH, Evidence

_REQUIRED: dict[str, Any] = {
    "kind": "http",
    "source": "127.88.0.1:1024",
    "destination": "1.2.3.4:80",
}
_REQUIRED["listener"] = "0.0.0.0_80"


def test_every_field_is_read() -> None:
    """A full record of a request, numbers as Envoy types them."""
    evidence = Evidence.from_record(
        _REQUIRED
        | {
            "route_config": "80",
            "route": "default",
            "cluster": "outbound|80||api.weather.com",
            "response_code": 503,
            "response_flags": "URX,UF",
            "response_code_details": "via_upstream",
            "authority": "api.weather.com",
            "method": "GET",
            "path": "/",
            "bytes_received": 3,
            "bytes_sent": 7,
            "attempts": 3,
            "duration": 1500,
            "upstream_duration": 1250,
        }
    )
    assert evidence.response_flags == {"UF", "URX"}
    assert (evidence.response_code, evidence.bytes_received, evidence.bytes_sent) == (503, 3, 7)
    assert (evidence.duration, evidence.upstream_duration) == (1.5, 0.00125)
    assert (evidence.attempts, evidence.cluster) == (3, "outbound|80||api.weather.com")


@pytest.mark.parametrize("flags", [None, "-", ""])
def test_what_envoy_left_out(flags: str | None) -> None:
    """None becomes empty text, zero and no flag."""
    absent = dict.fromkeys(
        ("cluster", "route", "response_code", "attempts", "upstream_host", "filter_chain")
    )
    evidence = Evidence.from_record({**_REQUIRED, **absent, "response_flags": flags})
    assert evidence == Evidence(**_REQUIRED)
    assert evidence.response_flags == frozenset()
    assert (evidence.response_code, evidence.attempts) == (0, 0)


@given(
    st.dictionaries(
        st.sampled_from(sorted(Evidence.__dataclass_fields__)), st.none() | st.just("-"), max_size=9
    ),
    st.dictionaries(st.text(max_size=3), st.integers()),
)
def test_unknown_fields_are_left_alone(known: dict[str, Any], unknown: dict[str, Any]) -> None:
    """A record of another Envoy version, with fields more or fewer, can be read."""
    numbers = {"response_code", "bytes_received", "bytes_sent", "attempts"}
    sparse = {key: value for key, value in known.items() if key not in numbers}
    evidence = Evidence.from_record({**unknown, **sparse, **_REQUIRED})
    assert evidence.listener == "0.0.0.0_80"
    assert pickle.loads(pickle.dumps(evidence)) == evidence


@pytest.mark.parametrize(
    ("cluster", "route", "chain", "undeclared"),
    [
        (PASSTHROUGH, "allow_any", "", True),
        (PASSTHROUGH, "", "PassthroughFilterChain", True),
        ("outbound|80||proxy.example.com", "allow_any", "", True),
        ("outbound|80||proxy.example.com", "", "virtualOutbound-catchall-tcp", True),
        ("AllowAnyDynamicDNSCluster", "allow_any_dynamic_dns", "", True),
        ("outbound|80||api.weather.com", "default", "", False),
        (BLACK_HOLE, "", "virtualOutbound-catchall-tcp", False),
        ("", "block_all", "", False),
    ],
)
def test_undeclared(cluster: str, route: str, chain: str, undeclared: bool) -> None:
    """What the catch-all passed on is undeclared; what it refused is not passed on."""
    evidence = Evidence(**_REQUIRED, cluster=cluster, route=route, filter_chain=chain)
    assert evidence.undeclared is undeclared


def test_as_one_line() -> None:
    """The line names what Istio's own log would, with the flags in a fixed order."""
    evidence = Evidence.from_record(
        _REQUIRED | {"response_code": 503, "response_flags": "URX,UF", "method": "GET", "path": "/"}
    )
    assert str(evidence).startswith('"GET /" 503 UF,URX - authority=- sni=- dst=1.2.3.4:80 ')
    assert str(Evidence("connection", "a:1", "b:2", "l")).startswith("0 - - authority=-")

"""The mesh's own settings in listeners, routes and clusters, as istiod 1.31 answers."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_egress.contract.destination_rule.resource import ClientTls, ZoneAwareLb
from pytest_egress.contract.duration import MILLISECOND, SECOND
from pytest_egress.contract.resources import TlsDefaults
from pytest_egress.envoy import Program
from tests.envoy.build import by_name, compiled, entry, mesh, names, rule

ENTRY = entry("api.example.com", "80/HTTP 443/TLS 5432/TCP 9000/")


def _manager(program: Program, listener: str) -> dict[str, Any]:
    found: dict[str, Any] = by_name(program.listeners, listener)["filter_chains"][0]
    config: dict[str, Any] = found["filters"][0]["typed_config"]
    return config


def test_protocol_detection_has_the_meshs_timeout() -> None:
    """Only where http_inspector waits; TLS alone is waited for for ever."""
    program = compiled(ENTRY, mesh=mesh(protocol_detection_timeout=5 * SECOND))
    timeouts = {
        it["name"]: it["listener_filters_timeout"]
        for it in program.listeners
        if it["name"] != "virtualOutbound"
    }
    assert timeouts == {
        "0.0.0.0_80": "5s",
        "0.0.0.0_443": "0s",
        "0.0.0.0_5432": "0s",
        "0.0.0.0_9000": "5s",
    }


@pytest.mark.parametrize(
    ("normalization", "expected"),
    [
        ("DEFAULT", (True, False, "KEEP_UNCHANGED")),
        ("BASE", (True, False, "KEEP_UNCHANGED")),
        ("NONE", (False, False, "KEEP_UNCHANGED")),
        ("MERGE_SLASHES", (True, True, "KEEP_UNCHANGED")),
        ("DECODE_AND_MERGE_SLASHES", (True, True, "UNESCAPE_AND_FORWARD")),
    ],
)
def test_path_normalization(normalization: Any, expected: tuple[bool, bool, str]) -> None:
    """Dots, slashes, escaped slashes."""
    program = compiled(ENTRY, mesh=mesh(path_normalization=normalization))
    manager = _manager(program, "0.0.0.0_80")
    assert (
        manager["normalize_path"],
        manager.get("merge_slashes", False),
        manager["path_with_escaped_slashes_action"],
    ) == expected


def test_the_proxys_own_ports_are_reserved() -> None:
    """Those that the mesh names, and no longer Istio's defaults."""
    ports = "15001/HTTP 15006/HTTP 15021/HTTP 15090/HTTP 15101/HTTP 15106/HTTP"
    declared = entry("api.example.com", ports)
    assert names(compiled(declared).listeners) == ["0.0.0.0_15101", "0.0.0.0_15106"]
    other = mesh(proxy_listen_port=15101, proxy_inbound_listen_port=15106)
    program = compiled(declared, mesh=other)
    assert names(program.listeners) == ["0.0.0.0_15001", "0.0.0.0_15006"]
    outbound = by_name(program.listeners, "virtualOutbound")
    assert outbound["address"]["socket_address"]["port_value"] == 15101
    assert outbound["filter_chains"][0]["filter_chain_match"] == {"destination_port": 15101}


def test_an_explicit_http_proxy() -> None:
    """A listener of its own, with the hosts of all HTTP ports; names without port are port 80's."""
    program = compiled(
        entry("api.example.com", "80/HTTP 8080/HTTP"), mesh=mesh(proxy_http_port=3128)
    )
    listener = by_name(program.listeners, "127.0.0.1_3128")
    assert "bind_to_port" not in listener
    assert "filter_chain_match" not in listener["filter_chains"][0]
    manager = _manager(program, "127.0.0.1_3128")
    assert manager["http_protocol_options"] == {"allow_absolute_url": True}
    assert manager["rds"]["route_config_name"] == "http_proxy"
    hosts = by_name(program.routes, "http_proxy")["virtual_hosts"]
    assert [(it["name"], it["domains"][:2]) for it in hosts] == [
        ("api.example.com:80", ["api.example.com", "api.example.com:80"]),
        ("api.example.com:8080", ["api.example.com:8080", "api.example.com.:8080"]),
        ("block_all", ["*"]),
    ]


def test_clusters_have_the_meshs_times() -> None:
    """Those without a rule of their own, the fixed ones included."""
    times = mesh(connect_timeout=250 * MILLISECOND, dns_refresh_rate=5 * SECOND)
    program = compiled(ENTRY, mesh=times)
    assert {it["connect_timeout"] for it in program.clusters} == {"0.250s"}
    assert by_name(program.clusters, "outbound|80||api.example.com")["dns_refresh_rate"] == "5s"


def test_tls_defaults_are_for_tls_of_a_rule() -> None:
    """Curves and ciphers; the versions stay."""
    defaults = mesh(tls_defaults=TlsDefaults(("P-256",), ("ECDHE-RSA-AES128-GCM-SHA256",)))
    simple = rule("api.example.com", tls=ClientTls("SIMPLE"))
    program = compiled(ENTRY, simple, mesh=defaults)
    cluster = by_name(program.clusters, "outbound|443||api.example.com")
    context = cluster["transport_socket"]["typed_config"]["common_tls_context"]
    assert context["tls_params"] == {
        "tls_minimum_protocol_version": "TLSv1_2",
        "tls_maximum_protocol_version": "TLSv1_3",
        "ecdh_curves": ["P-256"],
        "cipher_suites": ["ECDHE-RSA-AES128-GCM-SHA256"],
    }


def test_zone_aware_balance_of_the_mesh() -> None:
    """It comes before the mesh's localityLbSetting; switched off it says so to Envoy."""
    aware = mesh(zone_aware_lb=ZoneAwareLb(min_cluster_size=3))
    cluster = by_name(compiled(ENTRY, mesh=aware).clusters, "outbound|80||api.example.com")
    assert cluster["common_lb_config"]["zone_aware_lb_config"] == {"min_cluster_size": "3"}
    off = mesh(zone_aware_lb=ZoneAwareLb(enabled=False))
    cluster = by_name(compiled(ENTRY, mesh=off).clusters, "outbound|80||api.example.com")
    assert cluster["common_lb_config"]["zone_aware_lb_config"] == {"routing_enabled": {}}

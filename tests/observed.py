"""One contract with an entry of every kind, and the words to say what a probe of it showed."""

from __future__ import annotations

from typing import Any

import yaml

from pytest_egress.outcome import Outcome
from pytest_egress.verdict import Verdict

__all__ = [
    "CONTRACT",
    "assert_closed",
    "assert_seen",
    "destination_rule",
    "document",
    "documents",
    "entry",
    "sidecar",
]


def entry(
    name: str,
    hosts: str | list[str],
    ports: dict[int, str],
    resolution: str = "DNS",
    namespace: str = "default",
    **spec: Any,
) -> str:
    """One ServiceEntry as YAML; ``ports`` are protocols by number."""
    listed = [
        {"number": number, "name": f"p{number}"} | ({"protocol": protocol} if protocol else {})
        for number, protocol in ports.items()
    ]
    return document(
        "ServiceEntry",
        name,
        namespace,
        {
            "hosts": [hosts] if isinstance(hosts, str) else hosts,
            "ports": listed,
            "resolution": resolution,
            **spec,
        },
    )


def sidecar(namespace: str = "default", **spec: Any) -> str:
    """One Sidecar as YAML."""
    return document("Sidecar", "scope", namespace, spec)


def destination_rule(name: str, host: str, namespace: str = "default", **spec: Any) -> str:
    """One DestinationRule as YAML."""
    return document("DestinationRule", name, namespace, {"host": host, **spec})


def documents(*texts: str) -> str:
    """Several documents as one text."""
    return "---\n".join(texts)


def document(kind: str, name: str, namespace: str, spec: dict[str, Any]) -> str:
    """One resource as YAML."""
    resource = {
        "apiVersion": "networking.istio.io/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }
    return yaml.safe_dump(resource, sort_keys=False)


CONTRACT = documents(
    entry(
        "weather",
        "api.weather.com",
        {80: "HTTP", 443: "TLS", 8080: "HTTP2", 50051: "GRPC", 5432: "TCP"},
    ),
    entry("secure", "secure.weather.com", {443: "HTTPS"}),
    entry("round-robin", "rr.weather.com", {80: "HTTP"}, "DNS_ROUND_ROBIN"),
    entry("none", "none.weather.com", {9090: "TCP"}, "NONE"),
    entry("wildcard", "*.none.com", {80: "HTTP", 443: "TLS"}, "NONE"),
    entry("empty", "empty.weather.com", {80: "HTTP", 8443: "TLS"}, "STATIC"),
    entry(
        "static",
        "static.weather.com",
        {80: "HTTP"},
        "STATIC",
        endpoints=[{"address": "203.0.113.50", "ports": {"p80": 8888}}],
    ),
    entry("sniffed", "sniff.weather.com", {7000: ""}),
    entry("sniffed-vip", "sniffvip.weather.com", {7001: ""}, addresses=["203.0.113.77"]),
    entry("mysql", "mysql.weather.com", {3306: "MYSQL"}),
)


def assert_seen(
    outcome: Outcome,
    verdict: Verdict,
    *,
    code: int = 0,
    flags: str = "",
    details: str = "",
    cluster: str = "",
    route: str = "",
    reason: str = "",
) -> None:
    """The verdict, and what the proxy's record says: flags as a set, details by their beginning."""
    evidence = outcome.evidence
    assert evidence is not None, outcome.explain()
    assert outcome.verdict is verdict, outcome.explain()
    assert (evidence.response_code, evidence.cluster, evidence.route) == (code, cluster, route)
    assert evidence.response_flags == frozenset(flags.split())
    assert evidence.response_code_details.startswith(details)
    assert bool(evidence.response_code_details) is bool(details)
    assert reason in outcome.reason


def assert_closed(outcome: Outcome) -> None:
    """The client saw a reset or an end of stream, and not one byte."""
    failure = outcome.attempt.failure
    assert failure is not None
    assert failure.kind in {"reset", "eof"}
    assert outcome.status is None
    assert outcome.body == b""

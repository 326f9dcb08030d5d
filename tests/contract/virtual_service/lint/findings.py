"""Contracts for the warnings' tests, and the warnings that they get."""

from __future__ import annotations

from pytest_egress.contract import check

__all__ = ["Finding", "declare", "destination_rule", "found", "gateway", "service"]

Finding = tuple[str, int, int]


def declare(host: str, *ports: str, name: str = "", extra: str = "") -> str:
    """A ServiceEntry in one line; a port is ``80/HTTP``."""
    listed = ", ".join(
        f"{{number: {number}, name: p{number}, protocol: {protocol}}}"
        for number, protocol in (port.split("/") for port in ports or ("80/HTTP", "443/TLS"))
    )
    resolution = "NONE" if "*" in host else "DNS"
    name = name or host.lower().replace("*", "any").replace(".", "-")
    return (
        f"--- {{apiVersion: networking.istio.io/v1, kind: ServiceEntry, "
        f'metadata: {{name: "{name}", namespace: shop}}, spec: {{hosts: ["{host}"], '
        f"location: MESH_EXTERNAL, resolution: {resolution}, ports: [{listed}]{extra}}}}}\n"
    )


def service(spec: str, *, name: str = "vs", metadata: str = "") -> str:
    """A VirtualService in one line; its spec begins in column 1 of a line of its own."""
    return (
        f"--- {{apiVersion: networking.istio.io/v1, kind: VirtualService, "
        f'metadata: {{name: "{name}", namespace: shop{metadata}}}, spec: {{\n{spec}\n}}}}\n'
    )


def destination_rule(host: str, *subsets: str) -> str:
    """A DestinationRule in one line."""
    listed = ", ".join(f"{{name: {name}}}" for name in subsets)
    return (
        f"--- {{apiVersion: networking.istio.io/v1, kind: DestinationRule, "
        f'metadata: {{name: rule, namespace: shop}}, spec: {{host: "{host}", subsets: [{listed}]}}'
        "}\n"
    )


def gateway(name: str, namespace: str = "infra") -> str:
    """A Gateway in one line."""
    return (
        f"--- {{apiVersion: networking.istio.io/v1, kind: Gateway, "
        f"metadata: {{name: {name}, namespace: {namespace}}}, spec: {{selector: {{istio: egress}}, "
        "servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]}}\n"
    )


def found(*documents: str) -> list[tuple[str, str]]:
    """Rule and message of each warning about a VirtualService; nothing is refused."""
    problems = check("".join(documents))
    assert [str(it) for it in problems if it.severity == "error"] == []
    return [
        (it.rule, it.message)
        for it in problems
        if it.rule.startswith(("lint/destination-", "lint/virtual-service-", "lint/envoy-"))
    ]

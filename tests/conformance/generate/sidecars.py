"""Sidecars: what a workload imports, and what becomes of the rest."""

from __future__ import annotations

from tests.conformance.generate.drawing import Choices, Json
from tests.conformance.generate.names import (
    EXACT_HOSTS,
    HTTP_PROTOCOLS,
    LABELS,
    NAMESPACES,
    OPAQUE_PROTOCOLS,
    PORTS,
    TLS_PROTOCOLS,
    WILD_HOSTS,
    resource,
)

__all__ = ["sidecar"]


def sidecar(choices: Choices, index: int, hosts: list[str]) -> Json:
    """A Sidecar that imports some of ``hosts``, those that the contract declares."""
    spec: Json = {}
    choices.maybe(30, spec, "workloadSelector", [{"labels": labels} for labels in LABELS])
    listeners = []
    for number in choices.some(PORTS, 0, 2) if choices.chance(40) else ():
        protocols = (*HTTP_PROTOCOLS, *TLS_PROTOCOLS, *OPAQUE_PROTOCOLS)
        protocol = choices.one(protocols) or "TCP"
        listener: Json = {
            "port": {"number": number, "protocol": protocol, "name": f"port-{number}"},
            "hosts": _imports(choices, hosts),
        }
        choices.maybe(30, listener, "bind", ("127.0.0.1", "240.1.0.1", "0.0.0.0"))
        choices.maybe(30, listener, "captureMode", ("DEFAULT", "IPTABLES", "NONE"))
        listeners.append(listener)
    if not listeners or choices.chance(60):
        rest: Json = {"hosts": _imports(choices, hosts)}
        if choices.chance(10):
            rest["captureMode"] = choices.one(("DEFAULT", "IPTABLES", "NONE"))
        listeners.append(rest)
    spec["egress"] = listeners
    if choices.chance(50):
        policy: Json = choices.one(({"mode": "REGISTRY_ONLY"}, {"mode": "ALLOW_ANY"}, {}))
        if policy.get("mode") == "ALLOW_ANY" and choices.chance(25):
            port = {"number": choices.one(PORTS[:4])}
            policy = {**policy, "egressProxy": {"host": choices.one(EXACT_HOSTS), "port": port}}
            choices.maybe(20, policy["egressProxy"], "subset", ("v1",))
        spec["outboundTrafficPolicy"] = policy
    return resource(choices, "Sidecar", index, spec)


def _imports(choices: Choices, hosts: list[str]) -> list[str]:
    """Import patterns, without two for one host."""
    found: dict[str, str] = {}
    for name in choices.some(("*", *hosts, *WILD_HOSTS, *EXACT_HOSTS[:2]), 1, 3):
        namespace = choices.one(("*", ".", *NAMESPACES, "~"))
        if namespace == "~":
            namespace = choices.one(("~", f"~{choices.one(NAMESPACES)}", "*"))
        found[name] = f"{namespace}/{name}"
    return list(found.values())

"""How a call gets where it goes, in words that two contracts can be compared by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_egress.envoy.program import Program
from pytest_egress.report.foresight import Met

__all__ = ["way"]

_Json = Mapping[str, Any]
_RESOLUTIONS = {
    "ORIGINAL_DST": "the proxy dials the address that the application dialled",
    "STRICT_DNS": "the proxy looks the host up itself",
    "LOGICAL_DNS": "the proxy looks the host up itself, and keeps to one address",
    "EDS": "the proxy dials the declared endpoints",
    "STATIC": "the proxy dials the declared endpoints",
}


def way(met: Met) -> dict[str, str]:
    """What may change without a change of the verdict, by the name of it.

    Empty texts are left out.
    """
    decision, decider = met.last, met.decider
    told = {
        "destination": " or ".join(_share(it.cluster, it.weight) for it in decision.clusters)
        or decision.cluster,
        "gateway": met.decisions[-1][0] if len(met.decisions) > 1 else "",
        "protocol": ", ".join(
            dict.fromkeys(_declared(decider.program, it) for it in decision.all_clusters)
        ),
        "fault": decision.fault,
    }
    cluster = decider.cluster(next(iter(decision.all_clusters), ""))
    if cluster is not None:
        told |= {
            "resolution": _resolution(cluster),
            "endpoints": _endpoints(decider.assignment(cluster["name"])),
            "TLS": _tls(cluster),
        }
    route = decider.route(decision)
    if route is not None:
        told |= _route_settings(route)
    return {name: text for name, text in told.items() if text}


def _share(cluster: str, weight: int) -> str:
    return f"{cluster} (weight {weight})"


def _declared(program: Program, cluster: str) -> str:
    """The protocol that the deciding entry declares the port with."""
    parts = cluster.split("|")
    if len(parts) != 4:
        return ""
    for entry in program.origins.get(f"outbound|{parts[1]}||{parts[3]}", ())[:1]:
        for port in entry.ports:
            if port.number == int(parts[1]):
                protocol = port.protocol.upper() or "no protocol"
                return "TLS" if protocol == "HTTPS" else protocol  # they are one to a proxy
    return ""


def _resolution(cluster: _Json) -> str:
    if "cluster_type" in cluster:
        return "the proxy looks up the name that the call carries"
    return _RESOLUTIONS.get(cluster.get("type", "STATIC"), "")


def _endpoints(assignment: _Json | None) -> str:
    if assignment is None:
        return ""
    found = [
        f"{address['address']}:{address['port_value']}"
        for group in assignment.get("endpoints", ())
        for it in group.get("lb_endpoints", ())
        for address in [it["endpoint"]["address"].get("socket_address")]
        if address is not None
    ]
    return ", ".join(sorted(found)) or "none at all"


def _tls(cluster: _Json) -> str:
    """The TLS that the proxy adds."""
    config = cluster.get("transport_socket", {}).get("typed_config", {})
    context = config.get("common_tls_context")
    if context is None:
        return ""
    combined = context.get("combined_validation_context", {})
    validation = context.get("validation_context") or combined.get("default_validation_context", {})
    names = [
        text
        for it in validation.get("match_subject_alt_names", ())
        for text in it.values()
        if isinstance(text, str)
    ]
    told = [f"with server name {config['sni']}" if config.get("sni") else "without a server name"]
    if names:
        told.append(f"the certificate is for {', '.join(names)}")
    client = context.get("tls_certificates") or context.get("tls_certificate_sds_secret_configs")
    if client:
        told.append("a client certificate is shown")
    return "the proxy adds TLS " + ", ".join(told)


def _route_settings(route: _Json) -> dict[str, str]:
    action = route.get("route", {})
    retries = action.get("retry_policy", {})
    timeout = action.get("timeout", "")
    told = {
        "timeout": "" if timeout == "0s" else timeout,
        "retries": str(retries.get("num_retries", "")),
        "Host header": action.get("host_rewrite_literal", ""),
        "path": action.get("prefix_rewrite", ""),
    }
    mirrors = [it.get("cluster", "") for it in action.get("request_mirror_policies", ())]
    return told | {"copies to": ", ".join(mirrors)}

"""What of a valid DestinationRule only a cluster can enforce: Secrets, the mesh's own CA."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_egress.contract.contract import Contract
from pytest_egress.contract.destination_rule.parts import policies, tls_settings
from pytest_egress.contract.destination_rule.resource import DestinationRule, TrafficPolicy
from pytest_egress.contract.report import Path

__all__ = ["needs_a_cluster"]

_CONFIG_MAP = "configmap://"


def needs_a_cluster(rule: DestinationRule, contract: Contract) -> Iterator[tuple[Path, str]]:
    """The fields that the embedded proxy would enforce wrongly, each with the reason."""
    for path, tls in tls_settings(rule):
        name = tls.credential_name
        if name and tls.mode in {"SIMPLE", "MUTUAL"} and _is_served(rule, name, contract):
            kind = "ConfigMap" if name.startswith(_CONFIG_MAP) else "Secret"
            reason = f'the certificates are in the {kind} "{name}", not in files'
            yield (*path, "credentialName"), reason
        elif tls.mode == "ISTIO_MUTUAL":
            host = _external_host(rule, contract)
            if host:
                reason = f'"{host}" is MESH_EXTERNAL, and ISTIO_MUTUAL needs the mesh\'s own CA'
                yield (*path, "mode"), reason
    for path, policy in policies(rule):
        tunnel = policy.tunnel if isinstance(policy, TrafficPolicy) else None
        if tunnel is not None and tunnel.protocol == "POST":
            reason = "a simulated proxy cannot tell a tunnel made by POST from an upload"
            yield (*path, "tunnel", "protocol"), reason


def _is_served(rule: DestinationRule, name: str, contract: Contract) -> bool:
    """Whether istiod serves the credential: to each gateway, but to a sidecar only in these cases.

    Where it does not, a sidecar speaks plain text.
    """
    if rule.workload_selector is not None or name.startswith(_CONFIG_MAP):
        return True
    if not contract.speaks_of_services:
        return False
    from pytest_egress.contract.kubernetes.registry import gateway_workloads

    return bool(gateway_workloads(contract))


def _external_host(rule: DestinationRule, contract: Contract) -> str:
    """A MESH_EXTERNAL host that the rule covers."""
    suffix = rule.host[1:] if rule.host.startswith("*") else None
    for entry in contract.service_entries:
        if entry.location != "MESH_EXTERNAL":
            continue
        for host in entry.hosts:
            if host == rule.host or (suffix is not None and host.endswith(suffix)):
                return host
    return ""

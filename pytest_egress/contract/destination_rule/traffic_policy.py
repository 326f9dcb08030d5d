"""Rules for traffic policies: of a DestinationRule, of its ports and of its subsets."""

from __future__ import annotations

from typing import Any

from pytest_egress.contract.connection_pool import check_connection_pool
from pytest_egress.contract.destination_rule.load_balancer import check_load_balancer
from pytest_egress.contract.destination_rule.tls import check_client_tls
from pytest_egress.contract.report import Path, Report
from pytest_egress.contract.schema import WRONG
from pytest_egress.contract.syntax import fqdn_flaw, is_ip, port_flaw

__all__ = ["check_outlier_detection", "check_traffic_policy"]

_PARTS = ("outlierDetection", "connectionPool", "loadBalancer", "tls")
_MORE_PARTS = ("tunnel", "proxyProtocol", "retryBudget")


def check_traffic_policy(
    policy: dict[str, Any],
    raw: dict[str, Any],
    path: Path,
    namespace: str,
    report: Report,
    *,
    warn: bool = True,
) -> None:
    """Report what istiod says of a policy.

    Args:
        policy: without what the schema refused.
        raw: as written.
        path: where it stands.
        namespace: the rule's.
        report: takes the findings.
        warn: also what istiod warns of; it does so for a rule's own policy only, neither for its
            ports nor for its subsets.
    """
    given = [name for name in (*_PARTS, *_MORE_PARTS) if name in raw]
    ports = raw.get("portLevelSettings")
    if not given and not ports:
        message = "the traffic policy is empty: give tls, connectionPool or another part"
        report.error("destination-rule/policy-empty", message, path, key=True)
    if "tunnel" in raw and "proxyProtocol" in raw:
        message = "tunnel and proxyProtocol exclude one another: keep one"
        report.error("destination-rule/tunnel", message, (*path, "proxyProtocol"), key=True)
    _check_parts(policy, raw, path, namespace, report, warn=warn)
    for i, port in enumerate(policy.get("portLevelSettings", ())):
        if port is not WRONG:
            place: Path = (*path, "portLevelSettings", i)
            _check_port(port, raw["portLevelSettings"][i], place, namespace, report)
    if "tunnel" in policy:
        _check_tunnel(policy["tunnel"], (*path, "tunnel"), report)


def check_outlier_detection(
    outlier: dict[str, Any], path: Path, report: Report, *, warn: bool
) -> None:
    """``outlierDetection``."""
    if warn and outlier.get("consecutiveErrors"):
        message = (
            "consecutiveErrors is deprecated and does nothing: "
            "use consecutiveGatewayErrors or consecutive5xxErrors"
        )
        place = (*path, "consecutiveErrors")
        report.warning("destination-rule/consecutive-errors", message, place, key=True)
    local = outlier.get("consecutiveLocalOriginFailures") or 0
    if local > 0 and not outlier.get("splitExternalLocalOriginErrors"):
        message = "consecutiveLocalOriginFailures needs splitExternalLocalOriginErrors: true"
        place = (*path, "consecutiveLocalOriginFailures")
        report.error("destination-rule/local-origin", message, place, key=True)
    for name in ("maxEjectionPercent", "minHealthPercent"):
        value = outlier.get(name, 0)
        if not 0 <= value <= 100:
            message = f"{name} {value} is out of range: 0 to 100"
            report.error("destination-rule/percent", message, (*path, name))


def _check_parts(
    policy: dict[str, Any],
    raw: dict[str, Any],
    path: Path,
    namespace: str,
    report: Report,
    *,
    warn: bool,
) -> None:
    if "outlierDetection" in policy:
        place: Path = (*path, "outlierDetection")
        check_outlier_detection(policy["outlierDetection"], place, report, warn=warn)
    if "connectionPool" in policy:
        place = (*path, "connectionPool")
        check_connection_pool(policy["connectionPool"], raw["connectionPool"], place, report)
    if "loadBalancer" in policy:
        check_load_balancer(
            policy["loadBalancer"],
            raw["loadBalancer"],
            (*path, "loadBalancer"),
            report,
            ejects="outlierDetection" in raw,
            warn=warn,
        )
    if "tls" in policy:
        check_client_tls(policy["tls"], (*path, "tls"), namespace, report)


def _check_port(
    port: dict[str, Any], raw: dict[str, Any], path: Path, namespace: str, report: Report
) -> None:
    if "port" not in raw:
        message = "portLevelSettings need a port: port: {number: 443}"
        report.error("destination-rule/port-required", message, path)
    if not any(name in raw for name in _PARTS):
        message = "the settings of this port are empty: give tls, connectionPool or another part"
        report.error("destination-rule/port-policy-empty", message, path)
    _check_parts(port, raw, path, namespace, report, warn=False)


def _check_tunnel(tunnel: dict[str, Any], path: Path, report: Report) -> None:
    protocol = tunnel.get("protocol", "")
    if protocol not in {"", "CONNECT", "POST"}:
        message = f'"{protocol}" is not a protocol of tunnels: expected CONNECT or POST'
        report.error("destination-rule/tunnel", message, (*path, "protocol"))
    host = tunnel.get("targetHost")
    if host is not None and not is_ip(host) and (flaw := fqdn_flaw(host)):
        report.error("destination-rule/tunnel", flaw, (*path, "targetHost"))
    if "targetPort" in tunnel and (flaw := port_flaw(tunnel["targetPort"])):
        report.error("destination-rule/tunnel", flaw, (*path, "targetPort"))

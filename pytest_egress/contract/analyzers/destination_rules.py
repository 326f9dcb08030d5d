"""IST0128, IST0129 and IST0174: rules that name no CA, rules for hosts that are not there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pytest_egress.contract.analyzers.finding import Finding, at, of_kind
from pytest_egress.contract.analyzers.services import Services
from pytest_egress.contract.report import Path
from pytest_egress.contract.resources import Resource

if TYPE_CHECKING:
    from pytest_egress.contract.destination_rule.resource import ClientTls, DestinationRule

__all__ = ["analyze"]

_CHECKED = frozenset({"SIMPLE", "MUTUAL"})


def analyze(resources: Sequence[Resource], services: Services) -> Iterator[Finding]:
    """The findings about DestinationRules."""
    gateways = bool(of_kind(resources, "Gateway"))
    for rule in of_kind(resources, "DestinationRule"):
        yield from _rule(rule, services, gateways=gateways)


def _rule(rule: DestinationRule, services: Services, *, gateways: bool) -> Iterator[Finding]:
    policy = rule.traffic_policy
    if policy is not None:
        path: Path = ("spec", "trafficPolicy")
        if policy.tls is not None and _names_no_ca(rule, policy.tls, gateways=gateways):
            yield _unnamed(rule, "IST0128", policy.tls, "", (*path, "tls"))
        for i, level in enumerate(policy.port_level):
            if level.tls is not None and _names_no_ca(rule, level.tls, gateways=gateways):
                place: Path = (*path, "portLevelSettings", i, "tls")
                yield _unnamed(rule, "IST0129", level.tls, f" on port {level.port}", place)
    namespace = rule.metadata.namespace
    if services.may_lack(rule.host, namespace) and (
        services.ports(rule.host, namespace, rule.export_to) is None
    ):
        message = (
            f'no ServiceEntry or Service that {namespace} sees has the host "{rule.host}": '
            "the rule does nothing"
        )
        yield at(rule, "IST0174", message, ("spec", "host"))


def _names_no_ca(rule: DestinationRule, tls: ClientTls, *, gateways: bool) -> bool:
    if tls.mode not in _CHECKED or tls.ca_certificates:
        return False
    # A credential holds the CA, for whoever may read it.
    return not (tls.credential_name and (rule.workload_selector is not None or gateways))


def _unnamed(rule: DestinationRule, code: str, tls: ClientTls, port: str, path: Path) -> Finding:
    message = (
        f"tls {tls.mode} for {rule.host}{port} names no caCertificates: the server's certificate "
        "is held to the CAs that the proxy's image trusts. Name the CA where it is your own"
    )
    return at(rule, code, message, path, "note")

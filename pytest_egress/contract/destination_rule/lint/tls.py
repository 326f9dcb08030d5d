"""TLS that a DestinationRule adds: where it goes wrong, and what it does not check."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pytest_egress.contract.destination_rule.lint.targets import Target, Targets, warning
from pytest_egress.contract.destination_rule.parts import tls_scopes
from pytest_egress.contract.destination_rule.resource import ClientTls, DestinationRule
from pytest_egress.contract.destination_rule.tls import CONFIG_MAP
from pytest_egress.contract.kubernetes.inferred import full_name
from pytest_egress.contract.position import Problem
from pytest_egress.contract.report import Path
from pytest_egress.contract.resources import Resource
from pytest_egress.contract.syntax import HTTP_PROTOCOLS, TLS_PROTOCOLS
from pytest_egress.contract.virtual_service.lint.walk import destinations
from pytest_egress.contract.virtual_service.resource import VirtualService

__all__ = ["decrypted_ports", "lint_tls"]

_ORIGINATES = frozenset({"SIMPLE", "MUTUAL", "ISTIO_MUTUAL"})
_CHECKED = frozenset({"SIMPLE", "MUTUAL"})  # by names that the rule gives
_BARE = frozenset({"tcp", "mongo", "redis", "mysql"})
_PLAIN_PORT = 80


def decrypted_ports(resources: Iterable[Resource]) -> set[tuple[str, int]]:
    """Each (host, port) that an http route leads to: what arrives there is plain HTTP.

    Port 0 is that of a destination that says none.
    """
    found = set()
    for resource in resources:
        if isinstance(resource, VirtualService):
            for protocol, _, destination, _ in destinations(resource):
                if protocol == "http":
                    host = full_name(destination.host, resource.metadata.namespace)
                    found.add((host, destination.port))
    return found


def lint_tls(
    rule: DestinationRule, targets: Targets, decrypted: set[tuple[str, int]], *, gateways: bool
) -> Iterator[Problem]:
    """Findings about every ``tls`` of a rule.

    Args:
        rule: the rule.
        targets: which hosts it is for.
        decrypted: see ``decrypted_ports``.
        gateways: the contract has Gateways, whose pods may read Secrets.
    """
    for path, tls, concerns in tls_scopes(rule):
        yield from _itself(rule, path, tls, gateways=gateways)
        if tls.mode not in _ORIGINATES:
            continue
        ports = [it for it in targets.ports(rule) if concerns(it[2].number)]
        yield from _double(rule, path, tls, ports, decrypted)
        if tls.mode in _CHECKED and not tls.insecure_skip_verify and not tls.credential_name:
            yield from _unchecked(rule, path, tls, ports)
        if tls.mode in _CHECKED:
            yield from _plain_port(rule, path, ports)


def _itself(
    rule: DestinationRule, path: Path, tls: ClientTls, *, gateways: bool
) -> Iterator[Problem]:
    given = (tls.sni, tls.subject_alt_names, tls.ca_certificates, tls.client_certificate)
    if tls.mode == "DISABLE" and (any(given) or tls.credential_name):
        message = (
            "tls has no mode, or DISABLE: calls go out in plain text, and what else it says does "
            "nothing. Did you mean mode: SIMPLE?"
        )
        yield warning(rule, "lint/destination-rule-tls-mode", message, path)
    if tls.mode not in _CHECKED:
        return
    if tls.insecure_skip_verify:
        message = "insecureSkipVerify: any certificate is accepted, whoever answers"
        place: Path = (*path, "insecureSkipVerify")
        yield warning(rule, "lint/destination-rule-insecure", message, place)
    served = rule.workload_selector is not None or tls.credential_name.startswith(CONFIG_MAP)
    if tls.credential_name and not served and not gateways:
        message = (
            "without workloadSelector istiod gives no sidecar this credential: calls go out in "
            "PLAIN TEXT. Add a workloadSelector, or name files with caCertificates"
        )
        place = (*path, "credentialName")
        yield warning(rule, "lint/destination-rule-credential", message, place)


def _double(
    rule: DestinationRule,
    path: Path,
    tls: ClientTls,
    ports: Iterable[Target],
    decrypted: set[tuple[str, int]],
) -> Iterator[Problem]:
    for host, _, port in ports:
        if port.protocol.lower() not in TLS_PROTOCOLS:
            continue
        if (host, port.number) in decrypted or (host, 0) in decrypted:
            continue  # a gateway has taken the caller's TLS off
        message = (
            f"port {port.number} of {host} is declared {port.protocol}, so callers bring TLS of "
            f"their own: mode {tls.mode} wraps it in TLS again. Declare the port HTTP, or remove "
            "the tls of this port"
        )
        yield warning(rule, "lint/destination-rule-double-tls", message, (*path, "mode"))
        return


def _unchecked(
    rule: DestinationRule, path: Path, tls: ClientTls, ports: Iterable[Target]
) -> Iterator[Problem]:
    for host, entry, port in ports:
        if tls.subject_alt_names or entry.subject_alt_names:
            continue
        protocol = port.protocol.lower()
        if protocol in _BARE and not tls.sni:
            message = (
                f"on port {port.number} of {host} ({port.protocol}) TLS has no server name, and "
                "no name is checked: any certificate of a known CA is accepted. "
                "Give sni and subjectAltNames"
            )
        elif tls.sni and protocol in _BARE | HTTP_PROTOCOLS:
            message = (
                "with sni but without subjectAltNames the certificate's name is not checked: "
                f"give subjectAltNames: [{tls.sni}]"
                + (", or leave sni out" if protocol in HTTP_PROTOCOLS else "")
            )
        else:
            continue
        place: Path = (*path, "sni" if tls.sni else "mode")
        yield warning(rule, "lint/destination-rule-unchecked", message, place)
        return


def _plain_port(rule: DestinationRule, path: Path, ports: Iterable[Target]) -> Iterator[Problem]:
    for host, entry, port in ports:
        plain = port.number == _PLAIN_PORT and port.protocol.lower() in HTTP_PROTOCOLS
        elsewhere = port.target_port or entry.endpoints or entry.workload_selector is not None
        if plain and not elsewhere:
            message = (
                f"TLS goes to port {port.number} of {host}: where the server expects it on "
                "another one, give the ServiceEntry's port a targetPort, such as 443"
            )
            yield warning(rule, "lint/destination-rule-plain-port", message, (*path, "mode"))
            return

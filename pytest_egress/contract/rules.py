"""The catalogue of lint rules: what each one warns of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pytest_egress.contract.analyzers.finding import Level

__all__ = ["RULES", "SILENCE", "UNUSED_SILENCE", "LintRule"]

#: A comment that silences nothing because it is not understood, or gives no reason.
SILENCE = "lint/silence"
#: A comment that silences what is not found.
UNUSED_SILENCE = "lint/unused-silence"


@dataclass(frozen=True, slots=True)
class LintRule:
    """A rule that files can break and still be accepted by Istio.

    Attributes:
        id: stable name; Istio's own code for what ``istioctl analyze`` tells too.
        warns_of: what it is about, as a part of a sentence; may have inline code.
        level: of its findings.
    """

    id: str
    warns_of: str
    level: Level = "warning"


_DESTINATIONS = "a VirtualService leads to a"
_RULES = (
    LintRule("lint/location-unset", "no `location`: Istio takes `MESH_EXTERNAL`"),
    LintRule("lint/resolution-unset", "no `resolution`: Istio takes `NONE`"),
    LintRule("lint/addresses-not-endpoints", "STATIC with `addresses` where `endpoints` was meant"),
    LintRule("lint/static-without-endpoints", "STATIC with nowhere to send a call"),
    LintRule("lint/wildcard-dns", "a wildcard with DNS: every name goes to the same endpoints"),
    LintRule("lint/http-on-443", "plain HTTP declared on 443"),
    LintRule(
        "lint/open-port", "TCP, `NONE`, no addresses: any destination on that port is allowed"
    ),
    LintRule("lint/duplicate-host-port", "one host and port in two entries"),
    LintRule(
        "lint/tcp-swallows-port", "TCP without addresses on a port that HTTP or TLS entries use"
    ),
    LintRule("lint/status-addresses", "`status.addresses` that istiod cannot read"),
    LintRule(
        "lint/destination-host",
        f"{_DESTINATIONS} host that no ServiceEntry declares in these letters",
    ),
    LintRule(
        "lint/destination-cluster-service",
        "a VirtualService leads external calls to a Service of the cluster that is no gateway's",
    ),
    LintRule(
        "lint/destination-port",
        f"{_DESTINATIONS} port that the host does not declare, said or unsaid",
    ),
    LintRule(
        "lint/destination-subset",
        f"{_DESTINATIONS} subset that no DestinationRule for the host has",
    ),
    LintRule(
        "lint/virtual-service-host",
        "a VirtualService for a host that nobody declares, or only a wildcard",
    ),
    LintRule(
        "lint/virtual-service-gateway",
        "a VirtualService bound to a Gateway that is not in the contract",
    ),
    LintRule(
        "lint/virtual-service-match-gateway",
        "a match for a gateway that the VirtualService is not bound to",
    ),
    LintRule("lint/virtual-service-match-port", "a match for a port that the hosts do not declare"),
    LintRule(
        "lint/virtual-service-protocol",
        "http, tls or tcp routes for hosts without a port of that protocol",
    ),
    LintRule(
        "lint/virtual-service-rival",
        "another VirtualService for the same host counts, and the two are not merged",
    ),
    LintRule(
        "lint/virtual-service-replaced-host",
        "tls routes that take the place of the route of a host they do not name",
    ),
    LintRule("lint/virtual-service-unreachable", "a match behind one that takes every request"),
    LintRule(
        "lint/virtual-service-delegate",
        "a delegate that is not there, has hosts or is not exported: Istio drops the route",
    ),
    LintRule("lint/virtual-service-unused-delegate", "a delegate that nobody refers to"),
    LintRule("lint/virtual-service-fault-percentage", "a fault without percentage, which is 0 %"),
    LintRule(
        "lint/envoy-refuses",
        "what istiod accepts and Envoy refuses: a TCP port of the proxy's own (15001, 15006, "
        "15021, 15090) on every address, DYNAMIC_DNS with HTTP/2, a connection race to several "
        "endpoints; of a VirtualService a redirect that is none, status 600, a server name in two "
        "lists or with a partial wildcard, Unicode classes that only Go knows. Enforced, it is an "
        "error with Envoy's own words",
    ),
    LintRule(
        "lint/istiod-fails",
        "`outlierDetection` for a DYNAMIC_DNS host, or a Gateway's host behind `*/*`, on which "
        "istiod 1.31 fails",
    ),
    LintRule(
        "lint/unsteady",
        "`addresses` where istiod answers now this way and now that: which address of which host "
        "is an HTTP domain; which of several counts under a Sidecar that names the host exactly",
    ),
    LintRule("lint/destination-rule-host", "a DestinationRule for a host that nobody declares"),
    LintRule("lint/destination-rule-port", "settings for a port that the host does not declare"),
    LintRule("lint/destination-rule-subset", "a subset whose labels no endpoint carries"),
    LintRule(
        "lint/destination-rule-rival",
        "a second policy for one host in one namespace: the oldest rule's counts",
    ),
    LintRule(
        "lint/destination-rule-double-tls", "TLS added on a port that is declared HTTPS or TLS"
    ),
    LintRule("lint/destination-rule-plain-port", "TLS added on port 80 without a `targetPort`"),
    LintRule("lint/destination-rule-tls-mode", "`tls` without a mode, which is plain text"),
    LintRule("lint/destination-rule-unchecked", "TLS that checks no name of the certificate"),
    LintRule("lint/destination-rule-insecure", "TLS that accepts any certificate"),
    LintRule(
        "lint/destination-rule-credential",
        "`credentialName` without `workloadSelector`: a sidecar calls in plain text",
    ),
    LintRule(
        "lint/gateway-service-inferred",
        "a route leads to a gateway whose Service is in no file: what it is taken for, see "
        "[egress gateways](egress-gateways.md)",
    ),
    LintRule(
        "lint/gateway-selector",
        "a Gateway whose selector selects no pods that the contract knows",
    ),
    LintRule("lint/mesh-bypass", "the mesh file sends calls past the sidecar"),
    LintRule("lint/nothing-to-check", "no resource of Istio's networking group in what was given"),
    LintRule(
        SILENCE, "a comment that silences nothing: not understood, or without a reason", "error"
    ),
    LintRule(UNUSED_SILENCE, "a comment that silences what is not found"),
    LintRule(
        "IST0101",
        "a reference to what is not there: host, port, subset or gateway of a VirtualService, "
        "pods of a selector",
        "error",
    ),
    LintRule("IST0109", "two VirtualServices of the mesh with one host", "error"),
    LintRule("IST0110", "two Sidecars whose selectors select the same pods", "error"),
    LintRule("IST0111", "two Sidecars for all of one namespace", "error"),
    LintRule("IST0112", "a VirtualService leads to a host of several ports and names none", "note"),
    LintRule("IST0118", "the name of a Service's port says no protocol", "note"),
    LintRule("IST0128", "a DestinationRule adds TLS and names no CA", "note"),
    LintRule("IST0129", "a DestinationRule adds TLS on one port and names no CA", "note"),
    LintRule("IST0132", "a VirtualService's hosts are in no server of a Gateway it is bound to"),
    LintRule("IST0134", "a port of protocol TCP, or of none, without addresses"),
    LintRule("IST0162", "a Gateway's port that no Service in front of its pods has (once IST0104)"),
    LintRule("IST0174", "a DestinationRule for a host that is not there"),
    LintRule("IST0177", "two ServiceEntries with one host and port in different protocols"),
)

#: Every rule by its name, in the order of the documentation.
RULES: Mapping[str, LintRule] = MappingProxyType({rule.id: rule for rule in _RULES})

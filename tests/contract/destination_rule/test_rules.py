"""Rules for DestinationRules; each verdict here is the one that istiod 1.31 gives."""

from __future__ import annotations

import pytest

from pytest_egress.contract import check, verdict

DOCUMENT = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: api, namespace: shop}
spec:
  host: api.example.com
"""


def _policy(text: str) -> str:
    return f"  trafficPolicy: {{{text}}}\n"


def _balance(text: str) -> str:
    return _policy(f"loadBalancer: {{{text}}}")


def _locality(text: str, more: str = "outlierDetection: {}, ") -> str:
    return _policy(f"{more}loadBalancer: {{localityLbSetting: {{{text}}}}}")


ACCEPTED = [
    "",
    _policy("tls: {}"),
    _policy("retryBudget: {}"),
    _policy("connectionPool: {tcp: {idleTimeout: 0s, connectTimeout: 1m30s}}"),
    _policy("tls: {mode: SIMPLE, credentialName: configmap://shop/ca}"),
    _policy("portLevelSettings: [{port: {}, tls: {mode: DISABLE}}]"),
    _policy("outlierDetection: {consecutive5xxErrors: null}"),
    _policy("tunnel: {targetHost: 192.0.2.1, targetPort: 1}"),
    _balance("consistentHash: {httpHeaderName: a, maglev: {tableSize: 3}}"),
    _balance("consistentHash: {useSourceIp: true, ringHash: {}}"),
    _locality("distribute: [{from: us/*, to: {us/a/*: 30, eu: 70}}]"),
    "  exportTo: ['.']\n  workloadSelector: {matchLabels: {a: b}}\n",
    "  subsets: [{name: v1, trafficPolicy: {outlierDetection: {consecutiveErrors: 1}}}]\n",
]
WARNED = [
    (_policy("outlierDetection: {consecutiveErrors: 1}"), "destination-rule/consecutive-errors"),
    (_balance("consistentHash: {minimumRingSize: 1}"), "destination-rule/ring-size"),
    (_locality("failoverPriority: [a]", ""), "locality/outlier-detection"),
    ("  workloadSelector: {}\n", "destination-rule/selector-empty"),
]
REFUSED = [
    (_policy(""), "destination-rule/policy-empty"),
    (_policy("portLevelSettings: []"), "destination-rule/policy-empty"),
    (_policy("connectionPool: {}"), "connection-pool/empty"),
    (_policy("connectionPool: {tcp: {maxConnections: -1}}"), "connection-pool/negative"),
    (_policy("connectionPool: {http: {http2KeepAlive: {}}}"), "connection-pool/keepalive"),
    (_policy("connectionPool: {tcp: {connectTimeout: 0s}}"), "schema/duration"),
    (_policy("connectionPool: {tcp: {connectTimeout: 1.5ms}}"), "schema/duration"),
    (_policy("connectionPool: {http: {idleTimeout: 5}}"), "schema/type"),
    (_policy("outlierDetection: {maxEjectionPercent: 101}"), "destination-rule/percent"),
    (
        _policy("outlierDetection: {consecutiveLocalOriginFailures: 1}"),
        "destination-rule/local-origin",
    ),
    (_policy("portLevelSettings: [{tls: {}}]"), "destination-rule/port-required"),
    (_policy("portLevelSettings: [{port: {number: 1}}]"), "destination-rule/port-policy-empty"),
    (_policy("tls: {mode: MUTUAL}"), "destination-rule/mutual"),
    (
        _policy("tls: {mode: SIMPLE, credentialName: a, caCertificates: /a}"),
        "destination-rule/credential",
    ),
    (
        _policy("tls: {mode: SIMPLE, insecureSkipVerify: true, subjectAltNames: [a]}"),
        "destination-rule/insecure",
    ),
    (_policy("tls: {credentialName: configmap://other/ca}"), "destination-rule/config-map"),
    (_policy("tunnel: {targetHost: a_b, targetPort: 1}"), "destination-rule/tunnel"),
    (_policy("tunnel: {targetHost: a, targetPort: 1, protocol: GET}"), "destination-rule/tunnel"),
    (
        _policy("tunnel: {targetHost: a, targetPort: 1}, proxyProtocol: {}"),
        "destination-rule/tunnel",
    ),
    (_policy("proxyProtocol: {version: V3}"), "schema/enum"),
    (_balance("simple: RANDOM, consistentHash: {}"), "schema/alternatives"),
    (_balance("consistentHash: {useSourceIp: true, httpHeaderName: a}"), "schema/alternatives"),
    (_balance("consistentHash: {httpCookie: {name: ''}}"), "destination-rule/cookie"),
    (_balance("consistentHash: {maglev: {}}"), "destination-rule/maglev"),
    (_balance("consistentHash: {maglev: {tableSize: 4}}"), "destination-rule/maglev"),
    (_balance("warmup: {duration: 1s, aggression: 0}"), "destination-rule/warmup"),
    (_balance("warmup: {}"), "schema/required"),
    (_balance("localityLbSetting: {}, zoneAwareLbSetting: {}"), "locality/both"),
    (_locality("distribute: [{from: us, to: {us: 99}}]"), "locality/weight"),
    (_locality("distribute: [{from: us//a, to: {us: 100}}]"), "locality/locality"),
    (_locality("failover: [{from: us, to: us}]"), "locality/failover"),
    (_locality("failover: [{from: us/a, to: eu}]"), "locality/failover"),
    ("  subsets: [{name: a}, {name: a}]\n", "destination-rule/subset-duplicate"),
    ("  subsets: [{name: a.b}]\n", "destination-rule/subset-name"),
    ("  subsets: [{name: a, labels: {'a b': c}}]\n", "destination-rule/label"),
    ("  exportTo: ['~']\n", "destination-rule/export-to"),
    ("  exportTo: ['.', shop]\n", "destination-rule/export-to-duplicate"),
    (
        "  exportTo: ['*']\n  workloadSelector: {matchLabels: {a: b}}\n",
        "destination-rule/export-to-selector",
    ),
    ("  workloadSelector: {matchLabels: {'a*': b}}\n", "destination-rule/selector-wildcard"),
    ("  hosts: [a]\n", "schema/unknown-field"),
]


@pytest.mark.parametrize("spec", ACCEPTED)
def test_what_istiod_accepts(spec: str) -> None:
    """Without any finding of istiod's; of ports and subsets it does not warn."""
    problems = check(DOCUMENT + spec)
    assert verdict(problems) == "accepted", [str(it) for it in problems]


@pytest.mark.parametrize(("spec", "rule"), WARNED)
def test_what_istiod_warns_of(spec: str, rule: str) -> None:
    """It is accepted all the same."""
    problems = check(DOCUMENT + spec)
    assert verdict(problems) == "warned"
    assert rule in {it.rule for it in problems}


@pytest.mark.parametrize(("spec", "rule"), REFUSED)
def test_what_istiod_refuses(spec: str, rule: str) -> None:
    """With the rule, at the line that breaks it."""
    problems = check(DOCUMENT + spec)
    assert verdict(problems) == "refused"
    found = [it for it in problems if it.rule == rule]
    assert found
    assert found[0].position.line >= 6


def test_a_rule_needs_a_host() -> None:
    """Also where the whole spec is missing."""
    head = DOCUMENT[: DOCUMENT.index("spec:")]
    assert verdict(check(head)) == "refused"
    assert verdict(check(f"{head}spec: {{}}\n")) == "refused"

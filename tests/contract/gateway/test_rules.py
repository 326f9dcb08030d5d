"""Rules for Gateways; each verdict here is the one that istiod 1.31 gives."""

from __future__ import annotations

import pytest

from pytest_egress.contract import check, verdict

DOCUMENT = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: egress, namespace: shop}
spec:
"""
HTTPS = "port: {number: 443, name: https, protocol: HTTPS}, hosts: ['*']"
HTTP = "port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']"
KEYS = "serverCertificate: /c, privateKey: /k"


def _server(server: str, more: str = "") -> str:
    return f"  servers: [{{{server}}}{more}]\n"


ACCEPTED = [
    _server(HTTP),
    _server(f"{HTTP}, tls: {{httpsRedirect: true}}"),
    _server(f"{HTTPS}, tls: {{mode: ISTIO_MUTUAL}}"),
    _server(f"{HTTPS}, tls: {{mode: SIMPLE, {KEYS}}}"),
    _server(f"{HTTPS}, tls: {{mode: SIMPLE, credentialName: a}}"),
    _server(f"{HTTPS}, tls: {{mode: MUTUAL, caCertificates: /ca, {KEYS}, caCrl: /crl}}"),
    _server("port: {number: 443, name: t, protocol: TLS}, hosts: [./a.com], tls: {}"),
    _server("port: {number: 80, name: t, protocol: TCP}, hosts: [ns/*.a.com, 192.0.2.1]"),
    _server("port: {number: 0, name: u, protocol: HTTP}, hosts: ['*'], bind: unix:///x"),
    _server(HTTP, ", {port: {number: 80, name: second, protocol: HTTP}, hosts: [a.com]}"),
]
WARNED = [
    (_server(f"{HTTPS}, tls: {{mode: PASSTHROUGH, {KEYS}}}"), "server-tls/passthrough"),
    (
        _server(f"{HTTPS}, tls: {{mode: SIMPLE, credentialName: a, cipherSuites: [FOO]}}"),
        "server-tls/cipher",
    ),
    (
        _server(f"{HTTPS}, tls: {{mode: ISTIO_MUTUAL, minProtocolVersion: TLSV1_0}}"),
        "server-tls/version",
    ),
    (_server(f"{HTTPS}, tls: {{httpsRedirect: true}}"), "gateway/https-redirect"),
]
REFUSED = [
    ("  selector: {a: b}\n", "gateway/servers-required"),
    ("  servers: []\n", "gateway/servers-required"),
    (_server(HTTP.replace("hosts: ['*']", "hosts: []")), "gateway/hosts-required"),
    (_server(HTTP.replace("'*'", "short")), "gateway/host"),
    (_server(HTTP.replace("'*'", "'*a.com'")), "gateway/host"),
    (_server(HTTP.replace("'*'", "/a.com")), "gateway/host"),
    (_server(HTTP.replace("'*'", "a_b/c.com")), "gateway/host"),
    (_server(HTTP.replace("HTTP}", "HTPP}")), "gateway/protocol"),
    (_server(HTTP.replace("HTTP}", "''}")), "gateway/protocol"),
    (_server(HTTP.replace("80", "0")), "gateway/port-number"),
    (_server(HTTP.replace("80", "65536")), "gateway/port-number"),
    (_server(HTTP.replace("name: http", "name: ''")), "gateway/port-name"),
    (_server(HTTP.replace("80,", "80, targetPort: 8080,")), "gateway/target-port"),
    (_server(HTTP, f", {{{HTTP}}}"), "gateway/port-name-duplicate"),
    (_server(f"{HTTP}, bind: localhost"), "gateway/bind"),
    (_server(f"{HTTP}, bind: unix:///x"), "gateway/bind"),
    (_server(HTTPS), "gateway/tls-required"),
    (_server(f"{HTTP}, tls: {{mode: SIMPLE, {KEYS}}}"), "gateway/tls-protocol"),
    (_server(f"{HTTP.replace('HTTP}', 'TCP}')}, tls: {{}}"), "gateway/tls-protocol"),
    (_server(f"{HTTPS}, tls: {{mode: SIMPLE}}"), "server-tls/certificates"),
    (_server(f"{HTTPS}, tls: {{mode: MUTUAL, {KEYS}}}"), "server-tls/certificates"),
    (
        _server(f"{HTTPS}, tls: {{mode: SIMPLE, tlsCertificates: [{{privateKey: /k}}]}}"),
        "server-tls/certificates",
    ),
    (_server(f"{HTTPS}, tls: {{mode: SIMPLE, credentialName: a, {KEYS}}}"), "server-tls/sources"),
    (_server(f"{HTTPS}, tls: {{mode: SIMPLE, {KEYS}, caCrl: /crl}}"), "server-tls/crl"),
    (_server(f"{HTTPS}, tls: {{mode: ISTIO_MUTUAL, {KEYS}}}"), "server-tls/istio-mutual"),
    (
        _server(f"{HTTPS}, tls: {{mode: SIMPLE, credentialName: a, credentialNames: [b]}}"),
        "schema/alternatives",
    ),
    (_server(f"{HTTP}, tls: {{mode: FOO}}"), "schema/enum"),
    (_server("hosts: ['*']"), "schema/required"),
]


@pytest.mark.parametrize("spec", ACCEPTED)
def test_what_istiod_accepts(spec: str) -> None:
    """Without any finding of istiod's."""
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
    """With the rule, at the server that breaks it."""
    problems = check(DOCUMENT + spec)
    assert verdict(problems) == "refused"
    assert rule in {it.rule for it in problems}
    assert {it.position.line for it in problems} <= {4, 5}


def test_a_gateways_name_has_no_dots() -> None:
    """Other resources may have some."""
    problems = check(DOCUMENT.replace("egress", "egress.shop") + ACCEPTED[0])
    assert [it.rule for it in problems if it.severity == "error"] == ["gateway/name"]

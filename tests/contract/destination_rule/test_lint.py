"""DestinationRules that Istio accepts and that rarely mean what they say."""

from __future__ import annotations

from pytest_egress.contract import Problem, check, loads
from pytest_egress.contract.destination_rule.lint.targets import Targets
from pytest_egress.contract.virtual_service.lint.declared import Declared

ENTRY = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}, namespace: shop}}
spec:
  hosts: ["{host}"]
  location: MESH_EXTERNAL
  resolution: DNS
  ports: [{ports}]
{more}"""
RULE = """\
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {name}, namespace: shop}}
spec:
  host: {host}
{spec}
"""
HTTP = "{number: 80, name: http, protocol: HTTP, targetPort: 443}"
HTTPS = "{number: 443, name: https, protocol: HTTPS}"
TCP = "{number: 5432, name: tcp, protocol: TCP}"
NAMES = "sni: api.example.com, subjectAltNames: [api.example.com]"


def _entry(host: str = "api.example.com", ports: str = HTTP, more: str = "") -> str:
    name = host.lower().replace("*", "any")
    return ENTRY.format(name=name, host=host, ports=ports, more=more)


def _rule(spec: str, host: str = "api.example.com", name: str = "rule") -> str:
    return RULE.format(name=name, host=f'"{host}"', spec=spec)


def _tls(settings: str, host: str = "api.example.com") -> str:
    return _rule(f"  trafficPolicy: {{tls: {{{settings}}}}}", host)


def _told(*texts: str) -> list[Problem]:
    found = check("".join(texts))
    assert not [it for it in found if it.severity == "error"]
    return [it for it in found if it.rule.startswith(("lint/destination-rule", "lint/gateway"))]


def _one(*texts: str) -> tuple[str, str]:
    (problem,) = _told(*texts)
    return problem.rule.removeprefix("lint/destination-rule-"), problem.message


def test_a_usual_rule_is_not_spoken_of() -> None:
    """TLS on a plain HTTP port that leads to 443, with names that are checked."""
    assert _told(_entry(), _tls(f"mode: SIMPLE, {NAMES}")) == []
    assert _told(_entry(), _tls("mode: SIMPLE")) == []
    assert _told(_rule("  trafficPolicy: {connectionPool: {tcp: {maxConnections: 1}}}")) == []


def test_a_host_that_nobody_declares() -> None:
    """With the nearest; a wildcard rule is for the names below it."""
    pool = "  trafficPolicy: {connectionPool: {tcp: {maxConnections: 1}}}"
    rule, message = _one(_entry(), _rule(pool, "apl.example.com"))
    assert rule == "host"
    assert 'Did you mean "api.example.com"?' in message
    anywhere = "  endpoints: [{address: a.example.net}]\n"
    rule, message = _one(_entry("*.example.com", more=anywhere), _rule(pool))
    assert 'only the wildcard "*.example.com" declares "api.example.com"' in message
    rule, message = _one(_entry("Api.example.com"), _rule(pool))
    assert 'is declared as "Api.example.com", and case counts' in message
    assert _told(_entry(), _rule(pool, "*.example.com")) == []
    assert _told(_entry(), _rule(pool, "orders")) == []  # a Service of the cluster


def test_settings_for_a_port_that_is_not_declared() -> None:
    """Also in a subset."""
    level = "portLevelSettings: [{port: {number: 8443}, tls: {mode: SIMPLE}}]"
    rule, message = _one(_entry(), _rule(f"  trafficPolicy: {{{level}}}"))
    assert rule == "port"
    assert "declare no port 8443 (80)" in message
    subset = f"  subsets: [{{name: v1, trafficPolicy: {{{level}}}}}]"
    (problem,) = _told(_entry(), _rule(subset))
    assert problem.rule == "lint/destination-rule-port"


ROUTE = """\
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: routes, namespace: shop}
spec:
  hosts: [api.example.com]
  http: [{route: [{destination: {host: api.example.com, subset: v1, port: {number: 80}}}]}]
"""


def test_a_subset_without_endpoints() -> None:
    """Nothing leads to it, or what leads to it fails."""
    subset = _rule("  subsets: [{name: v1, labels: {version: v1}}]")
    rule, message = _one(_entry(), subset)
    assert rule == "subset"
    assert "no route leads to it: it does nothing" in message
    assert "calls that a route sends to it fail" in _one(_entry(), subset, ROUTE)[1]
    carried = "  endpoints: [{address: a.example.com, labels: {version: v1}}]\n"
    assert _told(_entry(more=carried), subset) == []
    pods = "  workloadSelector: {labels: {app: a}}\n"
    assert _told(_entry(more=pods), subset) == []


def test_a_second_policy_for_one_host() -> None:
    """The oldest rule's counts; subsets of both are kept."""
    pool = "  trafficPolicy: {connectionPool: {tcp: {maxConnections: 1}}}"
    rule, message = _one(_entry(), _rule(pool), _rule(pool, name="other"))
    assert rule == "rival"
    assert "<string>:15:18" in message
    subsets = _rule("  subsets: [{name: v1}]", name="other")
    assert _told(_entry(), _rule(pool), subsets) == []


def test_double_tls() -> None:
    """Unless a gateway has taken the caller's TLS off."""
    both = _entry(ports=f"{HTTP}, {HTTPS}")
    rule, message = _one(both, _tls("mode: SIMPLE"))
    assert rule == "double-tls"
    assert "port 443 of api.example.com is declared HTTPS" in message
    only_http = "portLevelSettings: [{port: {number: 80}, tls: {mode: SIMPLE}}]"
    assert _told(both, _rule(f"  trafficPolicy: {{{only_http}}}")) == []
    decrypted = ROUTE.replace("subset: v1, port: {number: 80}", "port: {number: 443}")
    assert _told(both, _tls("mode: SIMPLE"), decrypted) == []


def test_names_that_are_not_checked() -> None:
    """TCP without sni; sni without names, whose check it switches off."""
    tcp = _entry(ports=TCP)
    assert "TLS has no server name, and no name is checked" in _one(tcp, _tls("mode: SIMPLE"))[1]
    rule, message = _one(_entry(), _tls("mode: SIMPLE, sni: api.example.com"))
    assert rule == "unchecked"
    assert "give subjectAltNames: [api.example.com], or leave sni out" in message
    named = _entry(more="  subjectAltNames: [api.example.com]\n")
    assert _told(named, _tls("mode: SIMPLE, sni: api.example.com")) == []
    assert _told(tcp, _tls(f"mode: SIMPLE, {NAMES}")) == []


def test_tls_that_is_none() -> None:
    """No mode, any certificate, no credential."""
    assert _one(_entry(), _tls("sni: api.example.com"))[0] == "tls-mode"
    assert _one(_entry(), _tls("mode: SIMPLE, insecureSkipVerify: true"))[0] == "insecure"
    rule, message = _one(_entry(), _tls("mode: SIMPLE, credentialName: api"))
    assert rule == "credential"
    assert "PLAIN TEXT" in message
    gateway = GATEWAY.format(selector="istio: egressgateway")
    assert _told(_entry(), _tls("mode: SIMPLE, credentialName: api"), gateway) == []
    own = "  workloadSelector: {matchLabels: {app: a}}\n"
    selected = _rule(f"{own}  trafficPolicy: {{tls: {{mode: SIMPLE, credentialName: api}}}}")
    assert _told(_entry(), selected) == []


def test_tls_to_port_80() -> None:
    """Where a server rarely expects it."""
    plain = _entry(ports="{number: 80, name: http, protocol: HTTP}")
    assert _one(plain, _tls("mode: SIMPLE"))[0] == "plain-port"


GATEWAY = """\
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: egress, namespace: shop}}
spec:
  selector: {{{selector}}}
  servers: [{{port: {{number: 80, name: http, protocol: HTTP}}, hosts: ["*"]}}]
"""


def test_a_gateway_that_selects_nothing() -> None:
    """Istio's own gateways and the pods of the contract are known."""
    (problem,) = _told(_entry(), GATEWAY.format(selector="istio: egresgateway"))
    assert problem.rule == "lint/gateway-selector"
    assert "Did you mean istio: egressgateway?" in problem.message
    for selector in ("istio: egressgateway", "app: istio-ingressgateway", ""):
        assert _told(_entry(), GATEWAY.format(selector=selector)) == []
    pod = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: p, labels: {my: gateway}}\nspec: {}\n"
    assert _told(_entry(), GATEWAY.format(selector="my: gateway"), pod) == []


def test_many_entries_of_one_host() -> None:
    """What makes no difference is looked at once: thousands of rules and entries may clash."""
    names = [f"e{number}" for number in range(50)]
    same = [_entry(ports=HTTPS).replace("name: api.example.com", f"name: {it}") for it in names]
    other = _entry(ports=HTTPS, more=f"  subjectAltNames: [{names[0]}.example.com]\n")
    resources = loads("---\n".join((*same, other, _tls("mode: SIMPLE")[4:])))
    [rule] = resources.destination_rules
    every = (*resources.service_entries, rule)
    targets = Targets(every, Declared(every, frozenset()))
    found = [(host, entry.metadata.name) for host, entry, _ in targets.ports(rule)]
    assert found == [("api.example.com", "e0"), ("api.example.com", "api.example.com")]
    assert targets.labels("api.example.com") == []

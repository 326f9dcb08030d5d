"""What istiod accepts and Envoy refuses."""

from __future__ import annotations

import pytest

from tests.contract.virtual_service.lint.findings import declare, found, service

A, B = declare("a.example"), declare("b.example")
LEADS = "route: [{destination: {host: a.example}}]"
TLS = "route: [{destination: {host: a.example, port: {number: 443}}}]"


@pytest.mark.parametrize(
    ("route", "words"),
    [
        ("redirect: {uri: /, redirectCode: 304}", "use 301, 302, 303, 307 or 308"),
        ("directResponse: {status: 600}", "200 to 599"),
        (
            f"{LEADS}, fault: {{abort: {{httpStatus: 600, percentage: {{value: 1}}}}}}",
            "200 to 599",
        ),
        (f"{LEADS}, match: [{{queryParams: {{'': {{}}}}}}]", "without a name"),
        (rf"{LEADS}, match: [{{uri: {{regex: '\p{{Letter}}'}}}}]", 'refuses "Letter"'),
        (rf"{LEADS}, match: [{{headers: {{a: {{regex: '\p{{^greek}}'}}}}}}]", 'refuses "greek"'),
        (rf"{LEADS}, corsPolicy: {{allowOrigins: [{{regex: '\pl'}}]}}", 'refuses "l"'),
        (
            rf"{LEADS}, rewrite: {{uriRegexRewrite: {{match: '\p{{Lc}}', rewrite: a}}}}",
            'refuses "Lc"',
        ),
    ],
)
def test_an_http_route(route: str, words: str) -> None:
    """Codes without a word, statuses out of range, properties that only Go knows."""
    [(rule, message)] = found(A, service(f"hosts: [a.example], http: [{{{route}}}]"))
    assert rule == "lint/envoy-refuses"
    assert words in message


@pytest.mark.parametrize(
    "route",
    [
        "redirect: {uri: /, redirectCode: 308}",
        "directResponse: {status: 599}",
        rf"{LEADS}, match: [{{uri: {{regex: '\p{{Lu}}\pN\p{{^Greek}}\p{{Any}}'}}}}]",
        rf"{LEADS}, match: [{{withoutHeaders: {{a: {{regex: '*'}}}}}}]",
    ],
)
def test_an_http_route_that_envoy_takes(route: str) -> None:
    """Nothing is said."""
    assert found(A, service(f"hosts: [a.example], http: [{{{route}}}]")) == []


def in_tls(*matches: str, name: str = "vs") -> str:
    """A VirtualService with a tls route for each match."""
    routes = ", ".join(f"{{match: [{{{match}}}], {TLS}}}" for match in matches)
    return service(f"hosts: ['*.example'], tls: [{routes}]", name=name)


ALL = "sniHosts: ['*.example']"


def test_a_partial_wildcard_as_server_name() -> None:
    """Istiod's own rule is about host names, Envoy's about server names."""
    [(rule, message)] = found(A, in_tls("sniHosts: ['*a.example']", ALL))
    assert rule == "lint/envoy-refuses"
    assert 'the server name "*a.example"' in message


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("sniHosts: [a.example]", "sniHosts: [b.example, a.example]"),
        ("sniHosts: [a.example]", "sniHosts: [A.example]"),
        (
            "sniHosts: [a.example], destinationSubnets: [10.0.0.0/8, 10.1.0.0/16]",
            "sniHosts: [a.example], destinationSubnets: [10.0.0.0/8]",
        ),
        ("sniHosts: [a.example], sourceLabels: {app: a}", "sniHosts: [a.example, b.example]"),
        (
            "sniHosts: [a.example], destinationSubnets: [10.0.0.0/8]",
            "sniHosts: [a.example, b.example], destinationSubnets: [10.3.0.0/8]",
        ),
    ],
)
def test_a_server_name_in_two_lists(first: str, second: str) -> None:
    """Also across two VirtualServices."""
    [(rule, message)] = found(A, B, in_tls(first, second, ALL))
    assert rule == "lint/envoy-refuses"
    assert '"a.example" here and in the list at <string>:' in message
    [(rule, _)] = found(A, B, in_tls(first, ALL), in_tls(second, name="other"))
    assert rule == "lint/envoy-refuses"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("sniHosts: [a.example], sourceLabels: {app: a}", "sniHosts: [a.example]"),
        ("sniHosts: [a.example], port: 443", "sniHosts: [a.example, b.example], port: 8443"),
        (
            "sniHosts: [a.example]",
            "sniHosts: [a.example, b.example], destinationSubnets: [10.0.0.0/8]",
        ),
        (
            "sniHosts: [a.example], sourceNamespace: one",
            "sniHosts: [a.example, b.example], sourceNamespace: two",
        ),
    ],
)
def test_a_server_name_that_is_told_apart(first: str, second: str) -> None:
    """By equal lists, ports, networks or callers."""
    rules = [rule for rule, _ in found(A, B, in_tls(first, second, ALL))]
    assert "lint/envoy-refuses" not in rules


def test_networks_are_kept_for_later_matches() -> None:
    """A match without any gets those of the one before, and so meets it."""
    first = "sniHosts: [a.example], destinationSubnets: [10.0.0.0/8]"
    [(rule, message)] = found(A, B, in_tls(first, "sniHosts: [b.example, a.example]", ALL))
    assert rule == "lint/envoy-refuses"
    assert '"a.example" here' in message


def test_a_server_name_twice_in_one_list() -> None:
    """Envoy takes them for two."""
    [(rule, message)] = found(A, B, in_tls("sniHosts: [a.example, A.example]", ALL))
    assert rule == "lint/envoy-refuses"
    assert '"a.example" twice in one list' in message


def test_equal_lists_in_two_virtual_services() -> None:
    """The older one's is taken; beside one for fewer callers it has its use."""
    match = "sniHosts: [a.example, b.example]"
    [(rule, message)] = found(A, B, in_tls(match, name="second"), in_tls(match, name="first"))
    assert rule == "lint/virtual-service-rival"
    assert "matched at <string>:7:" in message
    narrow = f"{match}, sourceLabels: {{app: a}}"
    assert found(A, B, in_tls(narrow, name="first"), in_tls(match, name="second")) == []
    assert len(found(A, B, in_tls(match, name="first"), in_tls(narrow, name="second"))) == 1

"""Broken contracts: each gives exactly one message, at the right place, with the mend."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_egress.contract import check, load, loads
from pytest_egress.errors import ContractError
from tests.contract.samples import ENTRY, SIDECAR, WORKLOAD, errors


def entry(old: str, new: str) -> str:
    """The sample ServiceEntry with one text replaced."""
    assert old in ENTRY
    return ENTRY.replace(old, new)


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + chr(ord(name) - 1)] * 10)}]\n" for name in "bcdefghij"
)

# name: (text, line, column, rule, what the message must say)
BROKEN = {
    "misspelt field": (
        entry("  resolution: DNS", "  adresses: [10.0.0.1]\n  resolution: DNS"),
        13, 3, "schema/unknown-field", 'did you mean "addresses"?',
    ),
    "misspelt required field": (
        entry("  hosts:", "  host:"), 7, 3, "schema/unknown-field", 'did you mean "hosts"',
    ),
    "misspelt nested field": (
        entry("protocol: TLS", "protocoll: TLS"),
        12, 5, "schema/unknown-field", 'did you mean "protocol"?',
    ),
    "snake case field": (
        entry("  resolution: DNS", "  export_to: ['*']\n  resolution: DNS"),
        13, 3, "schema/unknown-field", 'did you mean "exportTo"?',
    ),
    "field of another kind": (
        entry("  resolution: DNS", "  trafficPolicy: {}\n  resolution: DNS"),
        13, 3, "schema/unknown-field", "DestinationRule",
    ),
    "misspelt metadata field": (
        entry("  namespace: shop", "  namespace: shop\n  lables: {a: b}"),
        6, 3, "schema/unknown-field", 'did you mean "labels"?',
    ),
    "upper case metadata": (
        entry("metadata:", "Metadata:"), 3, 1, "schema/unknown-field", 'did you mean "metadata"?',
    ),
    "missing hosts": (
        entry("  hosts:\n  - api.weather.example\n", ""), 6, 1, "schema/required", '"hosts"',
    ),
    "empty hosts": (
        entry("\n  - api.weather.example", " []"), 7, 10, "schema/too-few", "at least 1",
    ),
    "empty value": (
        entry("\n  - api.weather.example", ""), 7, 3, "schema/null", "give a list",
    ),
    "hosts as text": (
        entry("\n  - api.weather.example", " api.weather.example"),
        7, 10, "schema/type", "write [api.weather.example]",
    ),
    "port in quotes": (
        entry("number: 443", 'number: "443"'), 10, 13, "schema/type", "remove the quotes",
    ),
    "port with fraction": (
        entry("number: 443", "number: 443.5"), 10, 13, "schema/type", "a whole number",
    ),
    "negative port": (
        entry("number: 443", "number: -1"), 10, 13, "schema/range", "out of range",
    ),
    "port too high": (
        entry("number: 443", "number: 70000"),
        10, 13, "service-entry/port-number", "1 to 65535",
    ),
    "port zero as target": (
        entry("protocol: TLS", "protocol: TLS\n    targetPort: 0"),
        13, 17, "service-entry/target-port", "1 to 65535",
    ),
    "host is a number": (
        entry("api.weather.example", "1.5"), 8, 5, "schema/type", "put it in quotes",
    ),
    "host is NO": (
        entry("api.weather.example", "NO"), 8, 5, "schema/type", "reads yes, no, on, off",
    ),
    "host with scheme": (
        entry("api.weather.example", "https://api.weather.example"),
        8, 5, "service-entry/host", "without scheme",
    ),
    "host with port": (
        entry("api.weather.example", '"api.weather.example:443"'),
        8, 5, "service-entry/host", "under ports",
    ),
    "host is an address": (
        entry("api.weather.example", "169.254.169.254"),
        8, 5, "service-entry/host", "not an IP address",
    ),
    "every host": (
        entry("api.weather.example", '"*"'), 8, 5, "service-entry/host-wildcard", "*.example.com",
    ),
    "wildcard with DNS": (
        entry("api.weather.example", '"*.weather.example"'),
        8, 5, "service-entry/host-dns", "DYNAMIC_DNS",
    ),
    "wrong enum value": (
        entry("resolution: DNS", "resolution: STATC"),
        13, 15, "schema/enum", 'did you mean "STATIC"?',
    ),
    "enum in lower case": (
        entry("MESH_EXTERNAL", "mesh_external"),
        14, 13, "schema/enum", 'did you mean "MESH_EXTERNAL"?',
    ),
    "wrong protocol": (
        entry("protocol: TLS", "protocol: HTPS"),
        12, 15, "service-entry/protocol", 'did you mean "HTTPS"?',
    ),
    "port without name": (
        entry("    name: https\n", ""), 10, 5, "schema/required", '"name"',
    ),
    "port name with underscore": (
        entry("name: https", "name: https_1"),
        11, 11, "service-entry/port-name", "inner hyphens",
    ),
    "port number twice": (
        entry("  resolution: DNS", "  - {number: 443, name: tls}\n  resolution: DNS"),
        13, 14, "service-entry/port-number-duplicate", "declared already",
    ),
    "bad CIDR": (
        entry("resolution: DNS", "resolution: NONE\n  addresses: [10.0.0.0/33]"),
        14, 15, "service-entry/address", "10.0.0.0/8",
    ),
    "CIDR with DNS": (
        entry("resolution: DNS", "resolution: DNS\n  addresses:\n  - 10.0.0.0/8"),
        15, 5, "service-entry/cidr-resolution", "NONE or STATIC",
    ),
    "address with leading zero": (
        entry("resolution: DNS", "resolution: DNS\n  addresses: [192.168.0.01]"),
        14, 15, "service-entry/address", "leading zero",
    ),
    "name as static endpoint": (
        entry("resolution: DNS", "resolution: STATIC\n  endpoints:\n  - address: db.example"),
        15, 14, "endpoint/address", "use resolution DNS",
    ),
    "endpoint with port in address": (
        entry("resolution: DNS", "resolution: STATIC\n  endpoints:\n  - address: 192.0.2.1:80"),
        15, 14, "endpoint/address", "under the endpoint's ports",
    ),
    "endpoint without address": (
        entry("resolution: DNS", "resolution: STATIC\n  endpoints:\n  - weight: 1"),
        15, 5, "endpoint/address-required", "needs an address",
    ),
    "endpoint of an unknown port": (
        entry("resolution: DNS", "resolution: DNS\n  endpoints: [{address: a.b, ports: {x: 1}}]"),
        14, 38, "endpoint/port-unknown", "https",
    ),
    "endpoints without resolution": (
        entry("  resolution: DNS", "  endpoints:\n  - address: 192.0.2.1"),
        13, 3, "service-entry/none-endpoints", "STATIC for IP addresses",
    ),
    "several hosts on TCP": (
        entry("protocol: TLS", "protocol: TCP").replace("hosts:", "hosts:\n  - b.example"),
        13, 15, "service-entry/many-hosts", "one ServiceEntry for each",
    ),
    "export to everyone and someone": (
        entry("resolution: DNS", 'resolution: DNS\n  exportTo: [".", "*"]'),
        14, 19, "service-entry/export-to-alone", "only entry",
    ),
    "misspelt version": (
        entry("networking.istio.io/v1", "networking.istio.io/v1apha3"),
        1, 13, "document/apiversion", 'did you mean "networking.istio.io/v1alpha3"?',
    ),
    "misspelt group": (
        entry("networking.istio.io/v1", "networking.istio.com/v1"),
        1, 13, "document/apiversion", "networking.istio.io/v1",
    ),
    "group without version": (
        entry("networking.istio.io/v1", "networking.istio.io"),
        1, 13, "document/apiversion", "networking.istio.io/v1",
    ),
    "misspelt kind": (
        entry("ServiceEntry", "ServicEntry"), 2, 7, "unknown-kind", 'did you mean "ServiceEntry"?',
    ),
    "missing kind": (
        entry("kind: ServiceEntry\n", ""), 1, 1, "document/kind", "kind: ServiceEntry",
    ),
    "misspelt apiVersion": (
        entry("apiVersion:", "apiversion:"), 1, 1, "document/apiversion", '"apiversion"',
    ),
    "kind that comes later": (
        entry("ServiceEntry", "EnvoyFilter"), 2, 7, "unsupported-kind", "not supported yet",
    ),
    "missing name": (
        entry("  name: weather\n", ""), 3, 1, "metadata/name", "without a name",
    ),
    "upper case name": (
        entry("name: weather", "name: Weather"), 4, 9, "metadata/name", "lower case",
    ),
    "number as label": (
        entry("  namespace: shop", "  namespace: shop\n  labels:\n    v: 1"),
        7, 8, "schema/type", "put it in quotes",
    ),
    "bad creation time": (
        entry("  namespace: shop", "  namespace: shop\n  creationTimestamp: 2024-01-01"),
        6, 22, "metadata/creation-timestamp", "2024-01-31T12:00:00Z",
    ),
    "spec as list": (
        ENTRY.partition("spec:")[0] + "spec:\n- hosts: [a.b]\n",
        7, 1, "schema/type", "spec must be a mapping, not a list",
    ),
    "no object": ("- a\n- b\n", 1, 1, "document/not-an-object", "a mapping"),
    "same object twice": (
        f"{ENTRY}---\n{ENTRY}", 19, 9, "document/duplicate", "<string>:4:9",
    ),
    "items of a list as mapping": (
        "apiVersion: v1\nkind: List\nitems: {}\n", 3, 8, "document/items", "a list",
    ),
    "sidecar host without namespace": (
        SIDECAR.replace("- ./*", "- api.example"), 18, 7, "sidecar/host", "*/api.example",
    ),
    "sidecar mode of the mesh": (
        SIDECAR.replace("mode: ALLOW_ANY", "mode: ALLOW_ANY_DYNAMIC_DNS"),
        22, 11, "schema/enum", "ALLOW_ANY",
    ),
    "sidecar says nothing": (
        SIDECAR.partition("  egress:")[0], 6, 1, "sidecar/empty", "egress",
    ),
    "workload without address": (
        WORKLOAD.replace("address: 192.0.2.7", "address: db_1"),
        9, 12, "endpoint/address", "neither a DNS name nor an IP",
    ),
    "duplicate key": (
        entry("  resolution: DNS", "  resolution: DNS\n  resolution: STATIC"),
        14, 3, "yaml/duplicate-key", "keep one",
    ),
    "tab as indentation": (
        entry("    name: https", "\tname: https"), 11, 1, "yaml/indentation", "a tab",
    ),
    "no-break space as indentation": (
        entry("  namespace: shop", "\u00a0\u00a0namespace: shop"),
        5, 1, "yaml/indentation", "U+00A0",
    ),
    "unquoted wildcard": (
        entry("api.weather.example", "*.weather.example"),
        8, 5, "yaml/syntax", "'*.example.com'",
    ),
    "helm template as value": (
        entry("number: 443", "number: {{ .Values.port }}"),
        10, 13, "yaml/template", "helm template",
    ),
    "helm template as line": (
        entry("  hosts:", "  {{- if .Values.on }}\n  hosts:"),
        7, 3, "yaml/template", "render the file first",
    ),
    "helm template in quotes": (
        entry("api.weather.example", '"{{ .Values.host }}"'),
        8, 6, "yaml/template", "render the file first",
    ),
    "shell placeholder": (
        entry("api.weather.example", "${HOST}"), 8, 5, "yaml/template", "render",
    ),
    "unclosed bracket": (
        entry("resolution: DNS", "addresses: [10.0.0.1"), 14, 11, "yaml/syntax", "brackets",
    ),
    "colon in a value": (
        entry("resolution: DNS", "resolution: DNS: x"), 13, 18, "yaml/syntax", "Indent",
    ),
    "python tag": (
        entry("api.weather.example", "!!python/object/apply:os.getcwd []"),
        8, 5, "yaml/tag", "not allowed",
    ),
    "number that is none": (
        entry("number: 443", "number: .nan"), 10, 13, "yaml/scalar", "JSON",
    ),
    "list as key": (
        entry("  resolution: DNS", "  ? [a]\n  : b\n  resolution: DNS"),
        13, 5, "yaml/key", "a key must be a text",
    ),
    "merge of a text": (
        entry("  resolution: DNS", "  <<: x\n  resolution: DNS"),
        13, 7, "yaml/merge", "a mapping",
    ),
    "alias bomb": (BOMB, 5, 4, "yaml/alias-expansion", "write the values out"),
    "alias of itself": ("a: &a [*a]\n", 1, 4, "yaml/alias-recursive", "contains itself"),
    "too deep in brackets": ("[" * 100_000, 1, 101, "yaml/depth", "levels deep"),
    "too deep in dashes": ("- " * 100_000, 1, 201, "yaml/depth", "levels deep"),
    "NUL byte": (entry("shop", "sh\0op"), 1, 1, "yaml/binary", "binary"),
    "control character": (
        entry("shop", "sh\x07op"), 5, 16, "yaml/character", "U+0007",
    ),
    "after wide characters": (
        entry("  resolution: DNS", "  subjectAltNames: ['\u00e9\u6c34\U0001f600', 5]"),
        13, 28, "schema/type", "put it in quotes",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_broken_contract_gives_one_message_at_its_place(name: str) -> None:
    """One error, at the offending value, with its rule and a way to mend it."""
    text, line, column, rule, mend = BROKEN[name]
    found = errors(check(text))
    assert len(found) == 1, "\n".join(map(str, found))
    problem = found[0]
    assert (problem.position.line, problem.position.column) == (line, column), str(problem)
    assert problem.rule == rule
    assert mend in problem.message


@pytest.mark.parametrize("name", BROKEN)
def test_broken_contract_is_refused_by_loads(name: str) -> None:
    """Loading raises the contract's own error, whose text begins with the place."""
    text, line, column, rule, _ = BROKEN[name]
    with pytest.raises(ContractError) as caught:
        loads(text, file="egress.yaml")
    assert f"egress.yaml:{line}:{column}: error: " in str(caught.value)
    assert f"[{rule}]" in str(caught.value)


def test_all_problems_of_one_file_come_at_once() -> None:
    """Two defects in two documents are both reported, in file order."""
    text = entry("443", "70000") + "---\n" + entry("TLS", "SSH").replace("weather", "b")
    found = errors(check(text))
    assert [(p.position.line, p.rule) for p in found] == [
        (10, "service-entry/port-number"),
        (27, "service-entry/protocol"),
    ]


def test_a_flawed_document_does_not_hide_the_next() -> None:
    """A duplicate key spoils its own document; the one behind it is still checked."""
    flawed = entry("  resolution: DNS", "  resolution: DNS\n  resolution: DNS")
    found = errors(check(f"{flawed}---\n{entry('TLS', 'SSH')}"))
    assert [p.rule for p in found] == ["yaml/duplicate-key", "service-entry/protocol"]


def test_errors_and_warnings_are_raised_together() -> None:
    """The error carries the warnings of other resources too: one run shows everything."""
    unset = entry("  location: MESH_EXTERNAL\n", "").replace("name: weather", "name: other")
    with pytest.raises(ContractError) as caught:
        loads(f"{unset}---\n{entry('443', '0')}")
    rules = [(p.severity, p.rule) for p in caught.value.problems]
    assert rules == [
        ("warning", "lint/location-unset"),
        ("error", "service-entry/port-number"),
    ]


def test_problems_of_several_files_come_in_file_order(tmp_path: Path) -> None:
    """Every file is read although the first is broken."""
    (tmp_path / "b.yaml").write_text(entry("443", "0"))
    (tmp_path / "a.yaml").write_text(entry("TLS", "SSH").replace("weather", "b"))
    with pytest.raises(ContractError) as caught:
        load([tmp_path / "b.yaml", tmp_path / "missing.yaml", tmp_path / "a.yaml"])
    files = [p.position.file.rpartition("/")[2] for p in caught.value.problems]
    assert files == ["b.yaml", "missing.yaml", "a.yaml"]


def test_hundreds_of_unknown_fields_are_summed_up() -> None:
    """A mapping that is something else altogether does not flood the report."""
    fields = "".join(f"  field{i}: 1\n" for i in range(500))
    found = errors(check(ENTRY + fields))
    assert len(found) == 21
    assert any("500 unknown fields in spec" in problem.message for problem in found)


def test_too_many_items_are_counted_not_read() -> None:
    """One message for the list, none for its items."""
    text = entry("\n  - api.weather.example", f" [{', '.join(['_'] * 300)}]")
    assert [p.rule for p in errors(check(text))] == ["schema/too-many"]

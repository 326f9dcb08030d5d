"""``pytest-egress schema``: each schema is of what the commands really read and print."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pytest_egress.cli import main
from pytest_egress.cli.json_schemas import SCHEMAS

CONTRACT = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: shop}
spec:
  hosts: [a.example.com]
  location: MESH_EXTERNAL
  ports: [{number: 443, name: tls, protocol: TLS}, {number: 80, name: http, protocol: HTTP}]
  resolution: DNS
"""
ROUTES = """\
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: split, namespace: shop}
spec:
  hosts: [a.example.com]
  http:
  - name: answered
    match: [{uri: {exact: /gone}}]
    directResponse: {status: 410}
  - name: shared
    fault: {delay: {percentage: {value: 1}, fixedDelay: 1s}}
    route:
    - {destination: {host: a.example.com, port: {number: 80}}, weight: 40}
    - {destination: {host: b.example.com, port: {number: 80}}, weight: 60}
"""
OPEN = """\
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: open, namespace: shop}
spec:
  hosts: [open.example.com]
  location: MESH_EXTERNAL
  ports: [{number: 9000, name: tcp, protocol: TCP}]
  resolution: NONE
"""


def closed(schema: Any) -> Any:
    """A schema that takes no field that it does not name."""
    if isinstance(schema, list):
        return [closed(it) for it in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: closed(value) for key, value in schema.items()}
    return {**made, "additionalProperties": False} if "properties" in made else made


def named(schema: Any, at: str = "") -> Iterator[str]:
    """The path of each field."""
    for name, field in schema.get("properties", {}).items():
        yield f"{at}.{name}"
        yield from named(field, f"{at}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from named(schema[key], f"{at}[]")


def met(value: Any, schema: Any, at: str = "") -> Iterator[str]:
    """The paths of the fields that a value has."""
    for name, field in schema.get("properties", {}).items():
        if isinstance(value, dict) and name in value:
            yield f"{at}.{name}"
            yield from met(value[name], field, f"{at}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            for item in value if isinstance(value, list) else value.values():
                yield from met(item, schema[key], f"{at}[]")


def hold(name: str, values: list[Any]) -> None:
    """Hold values to a schema: each fits, and each field of the schema is in one of them."""
    schema = SCHEMAS[name].make()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(closed(copy.deepcopy(schema)))
    for value in values:
        validator.validate(value)
    assert {path for value in values for path in met(value, schema)} == set(named(schema))


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Contracts to ask."""
    (tmp_path / "a.yaml").write_text(CONTRACT)
    (tmp_path / "routes.yaml").write_text(CONTRACT + ROUTES)
    (tmp_path / "open.yaml").write_text(CONTRACT + OPEN)
    (tmp_path / "wrong.yaml").write_text(
        "# Source: chart/templates/wrong.yaml\n" + CONTRACT.replace("[a.example.com]", "['a b']")
    )
    (tmp_path / "map.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a command prints."""
    main(arguments)
    return capsys.readouterr().out


def test_every_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """By its name; each says what it is of."""
    for name, published in SCHEMAS.items():
        printed = json.loads(said(capsys, "schema", name))
        assert printed == published.make()
        assert printed["title"]
        assert all(it.isprintable() for it in published.of)


def test_probe(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lines of ``--json``; what never reached the proxy has no evidence."""
    calls = ("https://a.example.com", "http://b.example.com", "tcp://[2001:db8::1]:443")
    lines = said(capsys, "probe", "-c", "a.yaml", "--json", "--timeout", "2", *calls)
    found = [json.loads(line) for line in lines.splitlines()]
    hold("probe", found)
    assert "evidence" not in found[2]


def test_probe_batch(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is read, and what is answered, refusals included."""
    call = {"id": 1, "address": "203.0.113.9", "port": 80, "protocol": "http", "method": "HEAD",
            "host": "a.example.com", "path": "/x", "headers": {"x-a": "1"}}  # fmt: skip
    tls = {"port": 443, "protocol": "tls", "sni": "a.example.com"}
    mesh = "outboundTrafficPolicy: {mode: ALLOW_ANY}"
    cases: list[dict[str, Any]] = [
        {"id": "a", "yaml": CONTRACT, "mesh": mesh, "namespace": "shop", "labels": {"app": "x"},
         "metadata": {"DNS_CAPTURE": "true"}, "calls": [call, tls, {"id": 3, "port": 1}]},
        {"id": "b", "yaml": CONTRACT.replace("DNS", "DMS")},
        {"yaml": CONTRACT, "calls": [{"id": 4, "port": 9, "protocol": "tcp"}]},
    ]  # fmt: skip
    valid = copy.deepcopy(cases)
    del valid[0]["calls"][2]
    hold("probe-batch", valid)
    (files / "calls.jsonl").write_text("".join(f"{json.dumps(it)}\n" for it in cases) + "[]\n")
    lines = said(capsys, "probe", "--batch", "calls.jsonl").splitlines()
    hold("probe-batch-answer", [json.loads(line) for line in lines])
    assert len(lines) == 4


def test_validate(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Problems of files, of streams, of a batch."""
    files_of = ("validate", "--format", "json", "wrong.yaml", "open.yaml", "map.yaml")
    hold("validate", [json.loads(said(capsys, *files_of))])
    cases = [{"id": 1, "yaml": CONTRACT.replace("DNS", "DMS")}, {"yaml": CONTRACT}]
    hold("validate-batch", cases)
    lines = [json.dumps(it) for it in (*cases, {"id": 2})]
    (files / "documents.jsonl").write_text("\n".join(lines))
    answers = said(capsys, "validate", "--batch", "documents.jsonl").splitlines()
    hold("validate-batch-answer", [json.loads(line) for line in answers])


def test_lint(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Findings, and those that a comment silences."""
    comment = "# egress-lint: disable=lint/open-port the vendor moves\n"
    other = OPEN.removeprefix("---\n").replace("name: open", "name: other")
    (files / "silenced.yaml").write_text(comment + other.replace("open.example", "other.example"))
    told = json.loads(said(capsys, "lint", "--format", "json", "open.yaml", "silenced.yaml"))
    hold("lint", [told])


def test_explain(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever a call may meet: an answer, a split route, a refusal."""
    calls = ("https://a.example.com", "http://a.example.com/gone", "http://a.example.com/",
             "tls://b.example.com", "http://b.example.com")  # fmt: skip
    asked = ("explain", "-c", "routes.yaml", "--from", "shop/app=x", "--format", "json")
    hold("explain", [json.loads(said(capsys, *asked, *calls))])


def test_table_diff_and_doctor(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The other commands that have a format JSON."""
    hold("table", [json.loads(said(capsys, "table", "-c", "a.yaml", "--format", "json"))])
    hold("diff", [json.loads(said(capsys, "diff", "a.yaml", "open.yaml", "--format", "json"))])
    asked = ("doctor", "--only", "--require", "python", "--format", "json")
    hold("doctor", [json.loads(said(capsys, *asked))])

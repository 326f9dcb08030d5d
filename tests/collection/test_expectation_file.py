"""Expectation files: what they say, what is told of their mistakes, and their JSON Schema."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from pytest_egress.collection.expectation_file import OPTIONS, read_expectations
from pytest_egress.collection.json_schema import SCHEMA_FILE, json_schema
from pytest_egress.contract import load
from pytest_egress.errors import ContractError
from pytest_egress.expectations import blocked, reachable, resolves
from pytest_egress.probe import Options

FULL = """\
from:
  namespace: shop
  labels: {app: checkout}
contract: ["../istio/*.yaml"]
policy: REGISTRY_ONLY
dns_proxy: true
reachable:
- https://api.weather.com
- url: https://api.weather.com/v2
  method: POST
  headers: {x-key: "1"}
  body: "{}"
  alpn: [h2, http/1.1]
  ca_file: pod/ca.pem
  upstream: api.weather.com
blocked:
- {url: tcp://api.weather.com:9, timeout: 2, payload: x}
resolves:
- api.weather.com
- {name: db.example.com, to: [203.0.113.10]}
"""


def written(directory: Path, text: str) -> str:
    """An expectation file."""
    path = directory / "checkout.egress.yaml"
    path.write_text(text)
    return str(path)


def test_everything_that_can_be_said(tmp_path: Path) -> None:
    """The expectations are those that markers make; each has its place."""
    [found] = read_expectations(written(tmp_path, FULL))
    assert (found.namespace, found.labels) == ("shop", {"app": "checkout"})
    assert (found.contract, found.policy) == (("../istio/*.yaml",), "REGISTRY_ONLY")
    assert found.dns_proxy is True
    plain = [dataclasses.replace(it, position=None, upstream=None) for it in found.expectations]
    post: dict[str, Any] = {"method": "POST", "headers": {"x-key": "1"}, "body": "{}"}
    post |= {"alpn": ("h2", "http/1.1"), "ca_file": str(tmp_path / "pod/ca.pem")}
    assert plain == [
        *reachable("https://api.weather.com"),
        *reachable("https://api.weather.com/v2", **post),
        *blocked("tcp://api.weather.com:9", timeout=2, payload="x"),
        *resolves("api.weather.com"),
        *resolves("db.example.com", to="203.0.113.10"),
    ]
    lines = [it.position.line for it in found.expectations if it.position is not None]
    assert lines == [8, 9, 17, 19, 20]
    assert found.expectations[1].upstream == ("api.weather.com",)


def test_documents_are_sets_of_their_own(tmp_path: Path) -> None:
    """Each asks from its workload; Istio's resources and empty documents are no sets."""
    text = "blocked: [tcp://a.test:1]\n---\n---\nkind: ServiceEntry\n---\nresolves: [a.test]\n"
    found = read_expectations(written(tmp_path, text))
    assert [it.expectations[0].kind for it in found] == ["blocked", "resolves"]
    assert [(it.namespace, it.dns_proxy, it.policy) for it in found] == [("", None, "")] * 2


WRONG = {
    "form: {namespace: shop}\nblocked: [tcp://a.test:1]\n": '1:1: * "form" * mean "from"?',
    "reachable:\n- htps://a.test\n": "2:3: * unknown scheme 'htps': * did you mean https://?",
    "reachable:\n- {url: https://a.test, metod: GET}\n": '2:25: * "metod" * mean "method"?',
    "reachable:\n- {url: https://a.test, timeout: -1}\n": "2:34: * -1 is out of range*",
    "reachable:\n- {url: https://a.test, http_version: '3'}\n": '2:39: * "3" is not a value of*',
    "reachable:\n- {url: https://a.test, sni: 'a b'}\n": "2:30: * sni 'a b': expected an ASCII*",
    "reachable:\n- {method: GET}\n": '2:3: * reachable[[]0] lacks the field "url"*',
    "blocked: https://a.test\n": "1:10: * blocked must be a list*",
    "blocked: []\n": "1:10: * the list needs at least 1 item*",
    "resolves:\n- {name: a.test, to: [1.2.3]}\n": "2:10: * expected IP addresses, got '1.2.3'*",
    "policy: REGISTRY\nblocked: [tcp://a.test:1]\n": '1:9: * mean "REGISTRY_ONLY"?*',
    "from: {namespace: shop}\n": "1:1: * nothing is expected here: give reachable or *",
    "blocked: [tcp://a.test:1]\nblocked: [tcp://a.test:2]\n": "2:1: *",
    "- a\n": "1:1: * the document must be a mapping*",
    "blocked: [\n": "*:*: error: *",
}


@pytest.mark.parametrize("text", WRONG, ids=range(len(WRONG)))
def test_mistakes_are_told_at_their_place(tmp_path: Path, text: str) -> None:
    """One message, with what was expected and the nearest spelling."""
    file = written(tmp_path, text)
    with pytest.raises(ContractError) as error:
        read_expectations(file)
    [problem] = error.value.problems
    expected = f"{file}:{WRONG[text]}"
    pytest.LineMatcher([str(problem)]).fnmatch_lines([f"{expected.rstrip('*')}*"])


def test_every_mistake_is_told(tmp_path: Path) -> None:
    """Not only the first of a file."""
    text = "polcy: ALLOW_ANY\nblocked: [a.test]\n---\nresolves: 1\n"
    with pytest.raises(ContractError) as error:
        read_expectations(written(tmp_path, text))
    assert [it.position.line for it in error.value.problems] == [1, 2, 4]


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    """As one of a contract is."""
    with pytest.raises(ContractError, match="there is no such file"):
        read_expectations(str(tmp_path / "no.egress.yaml"))


def test_every_option_of_a_probe_can_be_given() -> None:
    """But for the one that makes an attempt unlike any other."""
    assert set(OPTIONS) == {field.name for field in dataclasses.fields(Options)} - {"nonce"}


def test_a_contract_leaves_expectations_alone(tmp_path: Path) -> None:
    """They may lie in the directory of a contract."""
    written(tmp_path, FULL)
    entry = "{hosts: [a.test], ports: [{number: 443, name: tls, protocol: TLS}], resolution: DNS}"
    (tmp_path / "a.yaml").write_text(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\n"
        f"metadata: {{name: a}}\nspec: {entry}\n"
    )
    assert len(load(tmp_path).service_entries) == 1


def test_the_schema_is_the_readers() -> None:
    """The file that is shipped is what the reader's fields make, and a valid schema."""
    schema = json.loads(SCHEMA_FILE.read_text("utf-8"))
    assert schema == json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    options = schema["else"]["properties"]["blocked"]["items"]["oneOf"][1]["properties"]
    assert all(options[name].get("description") for name in options)


def test_the_schema_takes_what_the_reader_takes(tmp_path: Path) -> None:
    """And refuses what it refuses of shape; URLs and YAML itself are not its business."""
    validator = jsonschema.Draft202012Validator(json_schema())
    assert validator.is_valid(yaml.safe_load(FULL))
    assert validator.is_valid({"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry"})
    beyond = ("htps", "'a b'", "1.2.3", "blocked: [tcp://a.test:1]\nblocked", "blocked: [\n")
    for text in WRONG:
        if not any(it in text for it in beyond):
            assert not validator.is_valid(yaml.safe_load(text)), text

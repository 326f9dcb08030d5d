"""VCR cassettes that stand for upstreams; tests/clients has cassettes that vcrpy writes itself."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import requests

from pytest_egress.upstream import Outside

FORECAST = """\
interactions:
- request:
    body: null
    headers:
      Accept: ['*/*']
    method: GET
    uri: http://a.example/v3/forecast?city=Berlin&days=2
  response:
    body:
      string: '{"celsius": 21.5}'
    headers:
      Content-Length: ['999']
      Transfer-Encoding: [chunked]
      Content-Type: [application/json]
      Set-Cookie: [a=1, b=2]
    status: {code: 200, message: OK}
- request: {body: a=1, headers: {}, method: POST, uri: 'http://a.example:80/orders'}
  response:
    body: {string: first}
    headers: {}
    status: {code: 201, message: Created}
- request: {body: a=2, headers: {}, method: POST, uri: 'http://a.example/orders'}
  response:
    body: {string: second}
    headers: {}
    status: {code: 409, message: Conflict}
version: 1
"""


def ask(outside: Outside, path: str, method: str = "GET", host: str = "a.example") -> Any:
    """A request to a.example on port 80."""
    place, port = outside.locate("203.0.113.99", 80)
    url = f"http://{place}:{port}{path}"
    return requests.request(method, url, headers={"Host": host}, timeout=10)


@pytest.fixture
def cassettes(tmp_path: Path) -> Path:
    """A directory with the cassette."""
    directory = tmp_path / "cassettes"
    directory.joinpath("test_weather").mkdir(parents=True)
    directory.joinpath("test_weather", "test_forecast.yaml").write_text(FORECAST)
    directory.joinpath("notes.txt").write_text("no cassette")
    return directory


@pytest.mark.parametrize("spelling", ["directory", "file", "text"])
def test_recorded_request_is_answered(outside: Outside, cassettes: Path, spelling: str) -> None:
    """By a directory, a file, or the path as text; the query's order does not matter."""
    file = cassettes / "test_weather" / "test_forecast.yaml"
    target = {"directory": cassettes, "file": file, "text": str(cassettes)}[spelling]
    upstream = outside.host("a.example").to(target)
    answer = ask(outside, "/v3/forecast?days=2&city=Berlin")
    assert (answer.status_code, answer.json()) == (200, {"celsius": 21.5})
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-length"] == "17"
    assert answer.raw.headers.getlist("set-cookie") == ["a=1", "b=2"]
    assert answer.headers["x-egress-upstream"] == outside.token
    assert [request.path for request in upstream.requests] == ["/v3/forecast?days=2&city=Berlin"]


def test_repeated_request_is_answered_in_order(outside: Outside, cassettes: Path) -> None:
    """What was recorded several times comes in that order, and the last stays."""
    outside.host("a.example").to(cassettes)
    answers = [ask(outside, "/orders", "POST") for _ in range(3)]
    assert [(it.status_code, it.text) for it in answers] == [
        (201, "first"),
        (409, "second"),
        (409, "second"),
    ]


@pytest.mark.parametrize(
    ("method", "path", "host"),
    [
        ("GET", "/v3/forecast?city=Paris&days=2", "a.example"),
        ("GET", "/v3/forecast", "a.example"),
        ("DELETE", "/orders", "a.example"),
        ("POST", "/orders", "b.example"),
    ],
)
def test_other_request_is_a_501(
    outside: Outside, cassettes: Path, method: str, path: str, host: str
) -> None:
    """It says what was asked and what is recorded, and the request is among those that came."""
    upstream = outside.host("*.example").to(cassettes)
    answer = ask(outside, path, method, host)
    assert answer.status_code == 501
    assert answer.text == (
        f"no interaction of {cassettes} answers {method} http://{host}{path}\n"
        "recorded are:\n"
        "  GET http://a.example/v3/forecast?city=Berlin&days=2\n"
        "  POST http://a.example:80/orders\n"
        "  POST http://a.example/orders\n"
    )
    assert [request.path for request in upstream.requests] == [path]


def _interaction(uri: str, text: str, **response: Any) -> dict[str, Any]:
    answer = {"body": {"string": text}, "headers": {}, "status": {"code": 200, "message": "OK"}}
    return {
        "request": {"method": "GET", "uri": uri, "body": None, "headers": {}},
        "response": answer | response,
    }


def test_own_scheme_and_port_come_first(outside: Outside, tmp_path: Path) -> None:
    """What differs in them alone answers where nothing else does: the mesh may originate TLS."""
    recorded = [
        _interaction("https://a.example/x", "encrypted"),
        _interaction("http://a.example:8080/x", "on 8080"),
        _interaction("http://a.example/x", "plain"),
        _interaction("https://a.example/only", "encrypted"),
    ]
    file = tmp_path / "cassette.json"
    file.write_text(json.dumps({"version": 1, "interactions": recorded}))
    outside.host("a.example").to(file)
    assert [ask(outside, path).text for path in ("/x", "/only")] == ["plain", "encrypted"]


def test_forms_of_a_body(outside: Outside, tmp_path: Path) -> None:
    """Text, bytes, nothing, base64, httpx's old form; a header of an encoding that is gone, too."""
    packed = gzip.compress(b"packed", mtime=0)
    gzipped = {"Content-Encoding": ["gzip"]}
    encoded = {"base64_string": base64.b64encode(packed).decode()}
    recorded = [
        _interaction("http://a.example/text", "é"),
        _interaction("http://a.example/none", "", body={"string": None}),
        _interaction("http://a.example/packed", "", body=encoded, headers=gzipped),
        _interaction("http://a.example/unpacked", "unpacked", headers=gzipped),
        _interaction("http://a.example/brotli", "unpacked", headers={"Content-Encoding": ["br"]}),
    ]
    old = _interaction("http://a.example/old", "")
    old["response"] = {"content": "old", "headers": {"x": "1"}, "status_code": 203}
    file = tmp_path / "cassette.json"
    file.write_text(json.dumps({"version": 1, "interactions": [*recorded, old]}))
    outside.host("a.example").to(file)
    names = ("text", "none", "packed", "unpacked", "brotli", "old")
    answers = [ask(outside, f"/{name}") for name in names]
    assert [it.content.decode() for it in answers] == [
        "é",
        "",
        "packed",
        "unpacked",
        "unpacked",
        "old",
    ]
    assert answers[-1].status_code == 203


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("interactions: [\n", "cassette.yaml:2:1: "),
        ('{"interactions": [}', "cassette.yaml:1:19: "),
        ("- 1\n", "expected a VCR cassette (a list `interactions`)"),
        ("http_interactions: []\n", "got one of Ruby's VCR"),
        ("interactions: [{request: {}}]\n", "interaction 1: expected request and response"),
        (FORECAST.replace("http://a.example/v3", "ftp://a.example/v3"), "none of http or https"),
        (FORECAST.replace("{string: first}", "{string: [1]}"), "a body is text or bytes, not list"),
        (FORECAST.replace("code: 201", "code: two"), "interaction 2: "),
    ],
)
def test_cassette_that_cannot_be_read(
    outside: Outside, tmp_path: Path, text: str, message: str
) -> None:
    """One error with the file and what was expected; what stood there stays."""
    outside.host("a.example").respond(204)
    file = tmp_path / "cassette.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match="cassette") as caught:
        outside.host("a.example").to(tmp_path)
    assert message in str(caught.value)
    assert ask(outside, "/").status_code == 204


def test_no_cassette(outside: Outside, tmp_path: Path) -> None:
    """An empty directory and a path that leads nowhere are no cassettes."""
    with pytest.raises(ValueError, match="found none"):
        outside.host("a.example").to(tmp_path)
    with pytest.raises(ValueError, match="No such file"):
        outside.host("a.example").to(tmp_path / "missing.yaml")

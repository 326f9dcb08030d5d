"""Values as JSON, frames that survive or are refused, and the program for pods."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pytest_egress.probe
from pytest_egress.probe import (
    Attempt,
    DnsAnswer,
    Failure,
    FrameError,
    Headers,
    Options,
    ProbeOptionError,
    Response,
    Target,
    TlsInfo,
    decode_frame,
    encode_frame,
    from_json,
    to_json,
)

from .servers import answer, dns_reply, dns_server, serve

_ATTEMPT = Attempt(
    "https://a.example:443/",
    "http",
    completed=False,
    failure=Failure("eof", "closed"),
    dns=DnsAnswer("a.example", "NOERROR", ("203.0.113.1",), ("b.example",), 60, 0.25),
    address=("203.0.113.1", 443),
    tls=TlsInfo("TLSv1.3", "h2", "X", b"\x30\x00", "CN=a", ("a.example",), "CN=b", verified=True),
    response=Response(
        200,
        "OK",
        Headers([("A", "\u00e9")]),
        b"\0\xff",
        "2",
        Headers([("t", "1")]),
        True,
        0,
        "m",
        "X",
    ),
    received=b"\xff",
    timings={"dns": 0.1},
    nonce="0" * 32,
)


@pytest.mark.parametrize(
    "value",
    [
        Target.parse("https://a.example/x"),
        Options(),
        Options(headers=(("a", "b"),), body=b"\xff", alpn=("h2",), connect_timeout=1),
        _ATTEMPT,
        Attempt("tcp://a.example:1", "dns", completed=True),
    ],
)
@pytest.mark.parametrize("lean", [False, True])
def test_values_survive_json(value: Any, lean: bool) -> None:
    """Each value is equal to itself after JSON, tuples, bytes, headers and all."""
    decoded = from_json(type(value), json.loads(json.dumps(to_json(value, lean=lean))))
    assert decoded == value
    if isinstance(decoded, Attempt) and decoded.response:
        assert decoded.response.headers.get("a") == "\u00e9"


def test_lean_values_have_no_defaults() -> None:
    """They are most of what an ordinary probe is asked, and says."""
    attempt = to_json(Attempt("tcp://a.example:1", "dns", completed=True), lean=True)
    assert set(attempt) == {"target", "stage", "completed", "timings"}
    assert set(to_json(Options(timeout=1), lean=True)) == {"timeout", "nonce"}


@pytest.mark.parametrize(
    ("cls", "data", "problem"),
    [
        (Options, {"tmeout": 1}, "unknown field 'tmeout'; did you mean 'timeout'?"),
        (Options, {"timeout": "1"}, "Options.timeout: expected float, got '1'"),
        (Options, {"verify": 1}, "Options.verify: expected bool"),
        (Options, {"max_body": True}, "Options.max_body: expected int"),
        (Options, {"headers": [["a"]]}, "Options.headers: expected"),
        (Options, {"body": {"base64": "!"}}, "Options.body: expected base64"),
        (Options, {"body": {"base64": 1}}, "Options.body: expected base64"),
        (Options, {"timeout": 0.0}, "0 < seconds"),
        (Target, {"scheme": "http"}, "missing field 'host'"),
        (Target, [], "expected an object"),
    ],
)
def test_json_that_is_no_value(cls: type[Any], data: Any, problem: str) -> None:
    """Unknown and missing fields and wrong types are refused by their place."""
    with pytest.raises(ProbeOptionError) as caught:
        from_json(cls, data)
    assert problem in str(caught.value)


@given(
    st.dictionaries(st.text(max_size=5), st.text(max_size=10) | st.integers() | st.none()),
    st.sampled_from(["", "a warning\n", "egress-probes\n"]),
)
def test_frames_carry_any_object(data: dict[str, Any], noise: str) -> None:
    """A frame is one ASCII line and is found among other output."""
    frame = encode_frame(data)
    assert frame.isascii()
    assert frame.count("\n") == 1
    assert decode_frame(noise + frame + noise) == data


def test_damaged_frames_are_refused() -> None:
    """A frame that was cut short anywhere, or changed, is an error and never a result."""
    frame = encode_frame({"attempt": {"completed": False}})
    for length in range(len(frame) - 1):
        with pytest.raises(FrameError):
            decode_frame(frame[:length])
    for damaged in ("", "no frame\n", frame * 2, frame.replace("false", "true")):
        with pytest.raises(FrameError):
            decode_frame(damaged)


def test_a_frame_must_carry_an_object() -> None:
    """A well-formed frame around something else is refused."""
    with pytest.raises(FrameError, match="does not carry an object"):
        decode_frame(encode_frame([]))  # type: ignore[arg-type]


def _run(request: str, path: str) -> tuple[int, dict[str, Any]]:
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-S", "-m", "pytest_egress.probe"],
        input=request,
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
        check=False,
    )
    assert not done.stderr
    return done.returncode, decode_frame(done.stdout)


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The package alone in a zip file, as it is brought into a pod."""
    import zipfile

    path = tmp_path_factory.mktemp("shipped") / "probe.zip"
    package = Path(pytest_egress.probe.__file__).parent
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("pytest_egress/__init__.py", "")
        for source in package.glob("*.py"):
            archive.write(source, f"pytest_egress/probe/{source.name}")
    return str(path)


def test_the_program_makes_an_attempt(shipped: str) -> None:
    """From a zip, without site packages: a name is looked up, a server asked, a frame written."""

    def respond(query: bytes) -> list[bytes]:
        return [dns_reply(query, "api.weather.com 60 A 127.0.0.1")]

    handler = answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    with serve(handler) as port, dns_server(respond) as server:
        options = Options()
        request = {
            "target": to_json(Target("http", "api.weather.com", port, "/")),
            "options": to_json(options),
            "dns": list(server),
        }
        code, data = _run(json.dumps(request), shipped)
    made = from_json(Attempt, data["attempt"])
    assert code == 0
    assert made.completed
    assert made.nonce == options.nonce
    assert made.dns is not None
    assert made.dns.addresses == ("127.0.0.1",)
    assert made.response is not None
    assert made.response.body == b"ok"


@pytest.mark.parametrize(
    ("request_text", "problem"),
    [
        ("", "not JSON"),
        ("[]", "expected an object with target"),
        ('{"target": {"scheme": "http"}}', "missing field 'host'"),
        (
            '{"target": {"scheme": "http", "host": "a", "port": 1}, "dns": ["a.example", 53]}',
            "expected [IP address, port]",
        ),
    ],
)
def test_the_program_refuses_a_bad_request(shipped: str, request_text: str, problem: str) -> None:
    """A request that cannot be honoured is answered in a frame, with exit code 2."""
    code, data = _run(request_text, shipped)
    assert (code, problem in data["error"]) == (2, True)

"""What not every backend can do: done where it can, refused with the reason where it cannot."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from pytest_egress.backends.protocol import Backend, Capability
from pytest_egress.contract import loads
from pytest_egress.egress import Egress
from pytest_egress.errors import CapabilityError, CapturedCallError, ProbeError
from pytest_egress.settings import outside_of_pytest
from pytest_egress.upstream import Upstreams
from pytest_egress.verdict import Verdict
from tests.alike.contract import CONTRACT
from tests.backends.egress_gateway import ENTRY, GATEWAY, HTTP_ROUTES
from tests.backends.egress_gateway import documents as joined

_SERVER = [
    "python3",
    "-u",
    "-c",
    """
import http.server, urllib.request
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with urllib.request.urlopen("http://api.weather.com" + self.path, timeout=10) as answer:
            body = answer.read()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)
print("here I am")
http.server.HTTPServer(("127.0.0.1", 8000), Handler).serve_forever()
""",
]


@contextlib.contextmanager
def _needs(backend: Backend, capability: Capability) -> Iterator[None]:
    """Have the block succeed, or be refused with the backend's own reason if it lacks that."""
    reason = backend.lacking.get(capability)
    if reason is None:
        yield
        return
    with pytest.raises(CapabilityError) as caught:
        yield
    assert caught.value.reason == reason


def _fetch(place: Backend, url: str) -> list[str]:
    """A client that is no Python where there is one: always in containers and pods."""
    if place.name != "local" or shutil.which("curl"):
        return ["curl", "--silent", "--show-error", "--fail", "--max-time", "10", url]
    code = "import sys, urllib.request as u; sys.stdout.buffer.write(u.urlopen(sys.argv[1]).read())"
    return ["python3", "-c", code, url]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_command(pod: Egress, place: Backend, upstreams: Upstreams, scheme: str) -> None:
    """A program of any language reaches what is declared, and trusts the outside's CA."""
    upstreams["api.weather.com"].respond(200, body=b"sunny")
    with _needs(place, "pod-exec"):
        done = pod.run(_fetch(place, f"{scheme}://api.weather.com/today"))
        assert (done.returncode, done.stdout) == (0, "sunny")
        assert [(it.host, it.verdict) for it in done.calls] == [
            ("api.weather.com", Verdict.REACHABLE)
        ]


def test_command_outside_of_the_contract(pod: Egress, place: Backend) -> None:
    """It is told, with the call."""
    with _needs(place, "pod-exec"):
        with pytest.raises(CapturedCallError, match=r"evil\.example"):
            pod.run(_fetch(place, "https://evil.example"))
        done = pod.run(_fetch(place, "http://evil.example"), on_blocked="allow")
        assert done.returncode != 0
        assert [(it.host, it.verdict) for it in done.calls] == [("evil.example", Verdict.BLOCKED)]


def test_command_input_status_and_environment(pod: Egress, place: Backend) -> None:
    """As of `subprocess.run`."""
    with _needs(place, "pod-exec"):
        done = pod.pod.exec(
            ["sh", "-c", "cat; echo $WORD >&2; exit 3"], input="heard", env={"WORD": "said"}
        )
        assert (done.returncode, done.stdout, done.stderr) == (3, "heard", "said\n")
        assert not done.calls


def test_files_for_a_command(pod: Egress, place: Backend, tmp_path: Path) -> None:
    """In a directory of its own, where it works; nothing of it stays."""
    script = tmp_path / "client"
    script.write_text("#!/bin/sh\ncat data/one\npwd\n")
    script.chmod(0o755)
    with _needs(place, "pod-exec"):
        done = pod.run(["./client"], files={"client": script, "data/one": "two\n"})
        assert done.returncode == 0, done.stderr
        said, directory = done.stdout.splitlines()
        assert said == "two"
        assert pod.run(["test", "-e", directory]).returncode == 1
        with pytest.raises(ProbeError, match="leave cwd out"):
            pod.run(["true"], files={"a": "b"}, cwd="/")


def test_missing_program(pod: Egress, place: Backend) -> None:
    """The exit status that a shell would give."""
    with _needs(place, "pod-exec"):
        done = pod.run(["no-such-program"])
        assert done.returncode == 127
        assert "no-such-program" in done.stderr


def test_service(pod: Egress, place: Backend) -> None:
    """It is called from the test, and its own calls are seen."""
    with _needs(place, "pod-serve"), pod.pod.serve(_SERVER, port=8000) as service:
        assert requests.get(f"{service.url}/today", timeout=10).status_code == 200
        assert "here I am" in service.output()
        assert {(it.host, it.path) for it in service.calls} == {("api.weather.com", "/today")}


def test_image(pod: Egress, place: Backend) -> None:
    """A container of the user's image, behind the proxy."""
    image = outside_of_pytest("pod-image")
    script = "cat; curl --silent --fail https://api.weather.com >/dev/null && exit 3"
    with _needs(place, "pod-run"):
        done = pod.pod.run(image, ["sh", "-c", script], input="heard")
        assert (done.returncode, done.stdout) == (3, "heard")
        assert [it.verdict for it in done.calls] == [Verdict.REACHABLE]


def test_files_for_an_image(pod: Egress, place: Backend, tmp_path: Path) -> None:
    """They are there before the image's program starts, with their permissions."""
    image = outside_of_pytest("pod-image")
    script = tmp_path / "client"
    script.write_text("#!/bin/sh\ncat /etc/app/settings /srv/app/data/deep/one; ls -l $0 >&2\n")
    script.chmod(0o755)
    (tmp_path / "data" / "deep").mkdir(parents=True)
    (tmp_path / "data" / "deep" / "one").write_bytes(b"two\n")
    files: dict[str, str | bytes | os.PathLike[str]] = {
        "/etc/app/settings": "one\n",
        "/srv/app/client": script,
        "/srv/app/data": tmp_path / "data",
    }
    with _needs(place, "pod-run"):
        done = pod.pod.run(image, ["sh", "/srv/app/client"], files=files)
        assert (done.returncode, done.stdout) == (0, "one\ntwo\n"), done.stderr
        assert done.stderr.split()[:4] == ["-rwxr-xr-x", "1", "root", "root"]


def test_session(pod: Egress, place: Backend) -> None:
    """Requests of the test process start in the pod."""
    with _needs(place, "dial"):
        assert pod.session.get("https://api.weather.com/today", timeout=10).status_code == 200
        with pytest.raises(requests.ConnectionError):
            pod.session.get("https://evil.example", timeout=10)


def test_capture(pod: Egress, place: Backend) -> None:
    """The test process's own connections go through the pod's proxy."""
    with _needs(place, "dial"):
        with pod.capture() as calls:
            assert requests.get("https://api.weather.com/today", timeout=10).status_code == 200
        assert calls.hosts == {"api.weather.com"}


def test_names_of_the_agent(pod: Egress, place: Backend) -> None:
    """With DNS capture a host has the address that istiod allocates."""
    with _needs(place, "dns-proxy"):
        captured = pod.with_dns_proxy()
        assert captured.resolve("api.weather.com").addresses[0].startswith("240.240.")
        assert captured.resolve("evil.example").resolved
        assert captured.connect("tcp://api.weather.com:5432").verdict is Verdict.REACHABLE


def test_gateway(place: Backend) -> None:
    """A contract with two proxies."""
    contract = loads(joined(ENTRY, GATEWAY, HTTP_ROUTES), file="gateway.yaml")
    with _needs(place, "gateways"):
        outcome = Egress(place, contract).get("http://api.weather.com")
        assert outcome.verdict is Verdict.REACHABLE, outcome.explain()
        assert len(outcome.hops) == 2


def test_suite_names_every_capability(place: Backend) -> None:
    """A reason is one sentence for the reader of a skip."""
    assert loads(CONTRACT).service_entries
    assert all(reason and "\n" not in reason for reason in place.lacking.values())

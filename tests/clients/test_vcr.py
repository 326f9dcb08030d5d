"""Cassettes that vcrpy has written itself, played back as an upstream to the same client."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from pytest_egress.egress import Egress
from pytest_egress.upstream import Upstreams

BODIES = {
    "/json": b'{"word": "caf\xc3\xa9"}',
    "/binary": bytes(range(256)),
    "/packed": gzip.compress(b"packed", mtime=0),
    "/empty": b"",
}


class Handler(BaseHTTPRequestHandler):
    """Text, bytes, something compressed, nothing, and a status of its own for a POST."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer."""
        body = BODIES[self.path.partition("?")[0]]
        self.send_response(200)
        if self.path == "/packed":
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Set-Cookie", "a=1")
        self.send_header("Set-Cookie", "b=2")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        """Answer with what came."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(201)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def recorded_from() -> Iterator[int]:
    """The port of the server that is recorded."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def _requests(base: str, paths: Sequence[str]) -> list[tuple[int, bytes]]:
    import requests

    with requests.Session() as session:
        answers = [session.get(base + path, timeout=20) for path in paths]
        answers += [session.post(f"{base}/orders", data=data, timeout=20) for data in ("x", "y")]
    return [(answer.status_code, answer.content) for answer in answers]


def _httpx(base: str, paths: Sequence[str]) -> list[tuple[int, bytes]]:
    import httpx

    with httpx.Client(timeout=20) as client:
        answers = [client.get(base + path) for path in paths]
        answers += [client.post(f"{base}/orders", content=data) for data in ("x", "y")]
    return [(answer.status_code, answer.content) for answer in answers]


CLIENTS: Mapping[str, Callable[[str, Sequence[str]], list[tuple[int, bytes]]]] = {
    "requests": _requests,
    "httpx": _httpx,
}
# What vcrpy can write in each format.
PATHS = {"yaml": (*BODIES, "/json?b=2&a=1"), "json": ("/json", "/empty", "/json?b=2&a=1")}


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("serializer", PATHS)
def test_playback_is_what_was_recorded(
    pods: Mapping[str, Egress],
    upstreams: Upstreams,
    recorded_from: int,
    tmp_path: Path,
    client: str,
    serializer: str,
) -> None:
    """Each status and body, of every answer, over the mesh."""
    vcr = import_module("vcr")
    file, ask, paths = tmp_path / f"cassette.{serializer}", CLIENTS[client], PATHS[serializer]
    with vcr.VCR(serializer=serializer).use_cassette(str(file)):
        recorded = ask(f"http://127.0.0.1:{recorded_from}", paths)
    # It was recorded of another place than the one that it stands for.
    text = file.read_text()
    file.write_text(text.replace(f"127.0.0.1:{recorded_from}", "up.example.com"))
    upstream = upstreams["up.example.com"].to(tmp_path)
    before = upstream.count
    try:
        with pods["REGISTRY_ONLY"].capture() as calls:
            played = ask("http://up.example.com", paths)
        assert played == recorded
        assert upstream.count - before == len(recorded)
        assert calls.hosts == {"up.example.com"}
    finally:
        upstream.clear()

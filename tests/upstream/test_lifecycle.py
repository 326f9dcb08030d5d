"""Start and stop: nothing is left, nothing is slow, nothing is swallowed."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pytest_egress.upstream import Headers, Outside

from .clients import connect, read, tls


def open_files() -> int:
    """How many files this process has open."""
    return len(list(Path("/proc/self/fd" if sys.platform == "linux" else "/dev/fd").iterdir()))


def test_stop_leaves_nothing(tmp_path: Path) -> None:
    """Sockets, threads and files are gone, whatever state the places were in."""
    files, threads = open_files(), set(threading.enumerate())
    with Outside(tmp_path / "outside") as outside:
        outside.declare([f"{name}.example" for name in "abcdef"], [80, 443])
        outside.host("a.example").refuse()
        outside.host("b.example").hang()
        outside.host("c.example").addresses("203.0.113.10").silent()
        outside.original_port()
        outside.original("203.0.113.7", 80)
        client = connect(outside.locate("203.0.113.10", 80))
        outside.warm_up()
        assert outside.ca_file.exists()
    client.close()
    assert outside.errors == []
    assert open_files() == files
    assert set(threading.enumerate()) == threads
    assert list((tmp_path / "outside").iterdir()) == []


def test_hang_in_a_process_with_many_open_files(tmp_path: Path) -> None:
    """A run with many places has descriptors beyond what select() can watch."""
    with Outside(tmp_path / "outside") as outside, contextlib.ExitStack() as stack:
        for _ in range(1100):
            stack.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        outside.declare(["a.example"], [80])
        outside.host("a.example").hang()
        assert outside.errors == []


def test_stop_twice_is_once(outside: Outside) -> None:
    """Stopping a stopped outside does nothing."""
    outside.stop()
    outside.stop()
    assert outside.errors == []


def test_stop_ends_what_is_under_way(outside: Outside) -> None:
    """A delay of an hour does not hold up the end of the run."""
    outside.host("203.0.113.10").delay(3600)
    with connect(outside.locate("203.0.113.10", 80)) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        while not outside.requests:
            time.sleep(0.001)
        began = time.monotonic()
        outside.stop()
    assert time.monotonic() - began < 3


def test_without_start(tmp_path: Path) -> None:
    """An outside that was never started has nothing open, says so, and can be stopped."""
    files = open_files()
    outside = Outside(tmp_path / "outside")
    assert open_files() == files
    with pytest.raises(RuntimeError, match=r"call start\(\) first"):
        outside.locate("203.0.113.10", 80)
    with pytest.raises(RuntimeError, match=r"call start\(\) first"):
        _ = outside.pod_dns
    outside.stop()
    assert open_files() == files
    assert outside.errors == []


def test_errors_in_threads_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of the outside itself is seen by the test, not lost with a thread."""
    from pytest_egress.upstream import responder

    fault = ZeroDivisionError("a fault")

    def broken(_: object) -> None:
        raise fault

    monkeypatch.setattr(responder, "_converse", broken)
    with Outside(tmp_path / "outside") as outside:
        with connect(outside.locate("203.0.113.10", 80)) as sock:
            assert sock.recv(1) == b""
        assert outside.errors == [fault]


def test_certificate_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """A failure of our own is not taken for the peer's, although both are an OSError."""
    with Outside(tmp_path / "outside") as outside:
        ca = tmp_path / "ca.pem"
        ca.write_bytes(outside.ca_file.read_bytes())
        place = outside.locate("203.0.113.10", 443)
        shutil.rmtree(tmp_path / "outside")
        with pytest.raises(OSError, match=r"EOF|reset"):
            tls(place, ca, "a.example")
    assert [str(error)[:26] for error in outside.errors] == ["cannot make a certificate "]


def test_import_brings_no_cryptography_and_no_h2() -> None:
    """Only a test that needs TLS or HTTP/2 pays for them."""
    program = (
        "import sys, pytest_egress.upstream; "
        "print(sorted({'trustme', 'cryptography', 'h2', 'ssl', 'requests'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_captured_connect_is_not_used(outside: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    """In-process capture replaces socket methods; what the outside dials must not go astray."""

    def captured(*_: object) -> None:
        pytest.fail("the outside dialled through the capture")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        target = listener.getsockname()
        client = socket.socket()
        place = outside.locate("203.0.113.10", 80, dedicated=True)
        listener.settimeout(5)
        with client, monkeypatch.context() as patched:
            patched.setattr(socket.socket, "connect", captured)
            outside.host("203.0.113.10").to(target)
            outside.host("203.0.113.11").hang()
            super(socket.socket, client).connect(place)
            server, _ = listener.accept()
            server.close()
    assert outside.errors == []


def test_connections_in_a_row_are_all_served(outside: Outside) -> None:
    """Fifty short connections, plain and over TLS: each gets its answer and is recorded."""
    place = outside.locate("203.0.113.10", 443)
    tls(place, outside.ca_file, "a.example").close()
    request = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"

    def plain() -> None:
        with connect(place) as sock:
            sock.sendall(request)
            assert read(sock, b"}")

    def secure() -> None:
        with tls(place, outside.ca_file, "a.example") as sock:
            sock.sendall(request)
            assert read(sock, b"}")

    for _ in range(50):
        plain()
        secure()
    assert len(outside.requests) == 100


def test_headers_are_a_mapping_in_any_case() -> None:
    """Several fields of one name are one value, as RFC 9110 reads them."""
    headers = Headers([("Accept", "a"), ("accept", "b"), ("X-One", "1")])
    assert headers["ACCEPT"] == "a, b"
    assert headers.all("accept") == ["a", "b"]
    assert "x-one" in headers
    assert "x-two" not in headers
    assert dict(headers) == {"accept": "a, b", "x-one": "1"}
    with pytest.raises(KeyError):
        _ = headers["x-two"]

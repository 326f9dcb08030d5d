"""Parts of the docker backend that need no engine."""

from __future__ import annotations

import socket

import pytest

from pytest_egress import BackendError
from pytest_egress.backends.docker.backend import DockerBackend
from pytest_egress.backends.docker.engine import Engine
from pytest_egress.backends.docker.proxy import _files
from pytest_egress.backends.docker.stream import AttachedStream, Tail


def frame(descriptor: int, data: bytes) -> bytes:
    """One part, as the engine sends it."""
    return bytes([descriptor, 0, 0, 0]) + len(data).to_bytes(4, "big") + data


@pytest.fixture
def ends() -> tuple[socket.socket, socket.socket]:
    """The engine's end of an attached stream, and ours."""
    return socket.socketpair()


def test_streams_are_told_apart(ends: tuple[socket.socket, socket.socket]) -> None:
    """Whatever the pieces in which they come; standard error is kept aside."""
    engine, ours = ends
    stream = AttachedStream(ours)
    data = frame(1, b"one") + frame(2, b"trouble\n") + frame(1, b"two" * 1000)
    with engine:
        engine.sendall(data[:5])
        engine.sendall(data[5:])
        assert stream.read() == b"one"
        assert stream.read() == b"two" * 1000
        assert stream.complaint() == "trouble"
        stream.write(b"question")
        assert engine.recv(100) == b"question"
        stream.end_input()
        assert engine.recv(100) == b""
    assert stream.read() == b""
    stream.close()
    stream.release()


def test_cut_in_the_middle_of_a_part(ends: tuple[socket.socket, socket.socket]) -> None:
    """What has come is all there is."""
    engine, ours = ends
    stream = AttachedStream(ours)
    with engine:
        engine.sendall(frame(1, b"whole") + frame(1, b"part")[:6])
    assert stream.read() == b"whole"
    assert stream.read() == b""
    stream.release()


def test_tail_keeps_what_was_said_last(ends: tuple[socket.socket, socket.socket]) -> None:
    """Both streams, when the container has gone."""
    engine, ours = ends
    tail = Tail(AttachedStream(ours))
    with engine:
        engine.sendall(frame(1, b"x" * 20_000) + frame(1, b"last words") + frame(2, b"alas"))
    text = tail.text()
    assert text.endswith("last words\nalas")
    assert len(text) < 20_000
    assert tail.ended()
    tail.close()


def test_files_of_a_configuration() -> None:
    """Each that it names, once, wherever it stands."""
    config = {
        "a": [{"filename": "/ca.pem"}, {"b": {"filename": "/key.pem"}}],
        "filename": "/ca.pem",
    }
    assert list(_files(config)) == ["/ca.pem", "/key.pem"]


def test_no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """One clear error with the next step, and nothing left."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    engine = Engine()
    with pytest.raises(BackendError, match="no container engine answers") as caught:
        _ = engine.client
    assert "DOCKER_HOST" in caught.value.next_step
    engine.close()


def test_header_needs_no_engine() -> None:
    """It names the image."""
    backend = DockerBackend(envoy_image="envoy:1", pod_image="python:3")
    assert backend.describe() == "docker (envoy:1)"
    backend.close()

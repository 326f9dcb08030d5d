"""Connections from a pod for a caller that must not wait."""

from __future__ import annotations

import queue
import socket
from collections.abc import Iterator

import pytest

from pytest_egress.backends.agent import Agent

_TIMEOUT = 30.0  # seconds; what is waited for comes at once


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A port of the pod's."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(_TIMEOUT)
        yield listener


def address_of(listener: socket.socket) -> tuple[str, int]:
    """Where it listens."""
    address, port = listener.getsockname()
    return str(address), int(port)


def test_what_is_sent_meanwhile_comes_later(agent: Agent, listener: socket.socket) -> None:
    """The end is there at once; the source is told when the connection is."""
    told: queue.SimpleQueue[tuple[int, str]] = queue.SimpleQueue()
    ours = agent.connection.dial_later(
        *address_of(listener), 5.0, lambda number, source: told.put((number, source))
    )
    with ours:
        ours.settimeout(_TIMEOUT)
        ours.sendall(b"early")
        accepted, peer = listener.accept()
        with accepted:
            accepted.settimeout(_TIMEOUT)
            assert accepted.recv(5, socket.MSG_WAITALL) == b"early"
            accepted.sendall(b"late")
            assert ours.recv(4, socket.MSG_WAITALL) == b"late"
            _, source = told.get(timeout=_TIMEOUT)
            assert source == f"{peer[0]}:{peer[1]}"


def test_port_that_nobody_listens_on(agent: Agent, listener: socket.socket) -> None:
    """The end is closed, and no source is told."""
    address, port = address_of(listener)
    listener.close()
    told: list[str] = []
    with agent.connection.dial_later(
        address, port, 5.0, lambda _, source: told.append(source)
    ) as ours:
        ours.settimeout(_TIMEOUT)
        assert ours.recv(1) == b""
    assert not told


def test_cut(agent: Agent, listener: socket.socket) -> None:
    """Both ends are told."""
    told: queue.SimpleQueue[int] = queue.SimpleQueue()
    ours = agent.connection.dial_later(
        *address_of(listener), 5.0, lambda number, _: told.put(number)
    )
    with ours:
        ours.settimeout(_TIMEOUT)
        accepted, _ = listener.accept()
        with accepted:
            accepted.settimeout(_TIMEOUT)
            agent.connection.cut(told.get(timeout=_TIMEOUT))
            assert ours.recv(1) == b""
            with pytest.raises(ConnectionResetError):
                accepted.recv(1)

"""The relay for native code: what one side does, the other sees, resets and half-closes alike."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from pytest_egress.capture.relay import Relay

ABORT = struct.pack("ii", 1, 0)


@contextmanager
def relayed(serve: Callable[[socket.socket], None]) -> Iterator[socket.socket]:
    """A client's socket that a relay leads to a server, which runs ``serve`` on its end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            connection, _ = listener.accept()
            with connection:
                serve(connection)

        server = threading.Thread(target=accept)
        server.start()
        relay = Relay(lambda: socket.create_connection(listener.getsockname(), timeout=None))
        try:
            with socket.create_connection(("127.0.0.1", relay.port), timeout=5) as client:
                yield client
        finally:
            relay.close()
            server.join(5)
            assert not server.is_alive()


def test_reset_is_a_reset() -> None:
    """Not an orderly end, which TLS libraries report as another error."""

    def serve(connection: socket.socket) -> None:
        connection.recv(10)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)

    for _ in range(20):
        with relayed(serve) as client:
            client.sendall(b"hello")
            with pytest.raises(ConnectionResetError):
                client.recv(10)


def test_reset_of_the_client_reaches_the_server() -> None:
    """The other way round, too."""
    seen: list[type[BaseException] | bytes] = []

    def serve(connection: socket.socket) -> None:
        connection.sendall(b"220")
        try:
            seen.append(connection.recv(10))
        except OSError as error:
            seen.append(type(error))

    with relayed(serve) as client:
        assert client.recv(3) == b"220"
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
    assert seen == [ConnectionResetError]


def test_half_closed_connection_still_answers() -> None:
    """One side may end while the other goes on."""

    def serve(connection: socket.socket) -> None:
        data = b""
        while more := connection.recv(1 << 16):
            data += more
        connection.sendall(data[::-1])

    text = bytes(range(256)) * 4096
    with relayed(serve) as client:
        client.sendall(text)
        client.shutdown(socket.SHUT_WR)
        with client.makefile("rb") as answer:
            assert answer.read() == text[::-1]


def test_answer_before_the_server_s_end_is_not_lost() -> None:
    """A server that answers and closes while the client still sends has been heard."""

    def serve(connection: socket.socket) -> None:
        connection.recv(1)
        connection.sendall(b"no")
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1 << 16):
            pass

    with relayed(serve) as client:
        client.sendall(b"x" * 100_000)
        assert client.recv(2, socket.MSG_WAITALL) == b"no"
        assert client.recv(1) == b""

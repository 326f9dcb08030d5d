"""One stream to an agent: questions under way, a sign of life every few seconds, and its loss."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

from pytest_egress.backends.agent.bundle import first_line
from pytest_egress.backends.agent.inside.tunnel import Tunnels
from pytest_egress.backends.agent.inside.wire import (
    PROTOCOL,
    LineError,
    Lines,
    decode,
    encode,
    pack,
    unpack,
)
from pytest_egress.backends.agent.stream import Stream
from pytest_egress.errors import BackendError, ProbeError

__all__ = ["AgentLostError", "Connection"]

_PING_INTERVAL = 5.0  # seconds
_SILENCE = 20.0  # seconds without a byte, asked for several times, that mean the agent is gone
_JOIN = 5.0

#: Gets a connection that was made in the pod: its client (``ip:port``), its destination there.
#: Returns the socket that it is carried to, or None to reset it.
Accepted = Callable[[str, tuple[str, int]], "socket.socket | None"]
#: Answers a DNS query (bytes; the flag says whether over UDP); None: not at all.
Answer = Callable[[bytes, bool], "bytes | None"]


class AgentLostError(BackendError):
    """The stream to the agent cannot be opened, or was lost."""


class Connection:
    """A stream with a running agent at its other end; see `open`."""

    def __init__(self, stream: Stream, name: str) -> None:
        self._stream = stream
        self._name = name
        self._acceptors: dict[str, Accepted] = {}
        self._answers: dict[str, Answer] = {}
        self._outputs: dict[int, Callable[[int, bytes], None]] = {}
        self._tunnels = Tunnels(self._send_quietly)
        self._tunnel_numbers = itertools.count(1, 2)  # the agent has the even ones
        self._sending = threading.Lock()
        self._lock = threading.Lock()
        self._waiting: dict[int, Future[dict[str, Any]]] = {}
        self._files: dict[bytes, str] = {}
        self._numbers = itertools.count(1)
        self._hello: Future[dict[str, Any]] = Future()
        self._heard = time.monotonic()
        self._ended = threading.Event()
        self._released = False
        self._why = ""
        self._reader = threading.Thread(
            target=self._read, name="pytest-egress-agent-reader", daemon=True
        )
        self._pinger = threading.Thread(
            target=self._ping, name="pytest-egress-agent-pinger", daemon=True
        )

    @classmethod
    def open(
        cls,
        connect: Callable[[], Stream],
        name: str,
        timeout: float,
    ) -> Connection:
        """Start an agent and return once it has answered.

        Raises:
            AgentLostError: it does not answer within ``timeout`` seconds.
        """
        try:
            stream = connect()
        except OSError as error:
            raise AgentLostError(f"no stream to {name}", str(error)) from error
        connection = cls(stream, name)
        connection._reader.start()
        try:
            connection._write(first_line())
            hello = connection._hello.result(timeout)
            _check(hello)
        except (OSError, LineError, FutureTimeoutError, AgentLostError) as error:
            connection._lose(str(error) or f"no answer within {timeout:g} s")
            connection.close()
            raise AgentLostError(
                f"the agent of {name} does not start",
                stream.complaint() or connection._why,
                "the test pod's image needs python3, version 3.10 or newer",
            ) from None
        connection._pinger.start()
        return connection

    @property
    def lost(self) -> bool:
        """Whether the stream has ended."""
        return self._ended.is_set()

    def ask(self, request: Mapping[str, Any], timeout: float | None) -> dict[str, Any]:
        """Send a request and return its answer.

        Raises:
            AgentLostError: the stream was lost meanwhile, or no answer came in ``timeout`` seconds.
            ProbeError: the agent refuses the request; the message says why.
        """
        number, answer = self._expect()
        try:
            self.send({**request, "id": number})
            message = answer.result(timeout)
        except FutureTimeoutError:
            with contextlib.suppress(AgentLostError):
                self.send({"op": "cancel", "of": number})
            raise AgentLostError(f"no answer came within {timeout:g} s") from None
        finally:
            with self._lock:
                self._waiting.pop(number, None)
        refusal = message.get("error")
        if refusal is not None:
            raise ProbeError(str(refusal["message"]))
        result = message.get("result")
        return result if isinstance(result, dict) else {}

    def request(self, request: Mapping[str, Any]) -> Future[dict[str, Any]]:
        """Send a request; returns the message that is to answer it.

        Raises:
            AgentLostError: the stream is lost; the answer that is expected then fails with it.
        """
        number, answer = self._expect()
        self.send({**request, "id": number})
        return answer

    def begin(
        self, request: Mapping[str, Any], output: Callable[[int, bytes], None]
    ) -> tuple[int, Future[dict[str, Any]]]:
        """Start a command; returns its number and the answer that its end brings.

        Args:
            request: as of the operation ``exec``.
            output: called in the reader's thread with what it writes: the descriptor (1 or 2) and
                the bytes.

        Raises:
            AgentLostError: the stream is lost; the answer that is expected then fails with it.
        """
        number, answer = self._expect()
        self._outputs[number] = output
        answer.add_done_callback(lambda _: self._outputs.pop(number, None))
        self.send({**request, "op": "exec", "stream": True, "id": number})
        return number, answer

    def _expect(self) -> tuple[int, Future[dict[str, Any]]]:
        number = next(self._numbers)
        answer: Future[dict[str, Any]] = Future()
        with self._lock:
            if self.lost:
                raise AgentLostError(self._why)
            self._waiting[number] = answer
        return number, answer

    def send(self, message: dict[str, Any]) -> None:
        """Send a message that has no answer.

        Raises:
            AgentLostError: the stream is lost.
        """
        try:
            self._write(encode(message))
        except OSError as error:
            self._lose(f"it cannot be written to: {error}")
            raise AgentLostError(self._why) from error

    def file(self, content: bytes) -> str:
        """Send a file once; returns its path in the pod."""
        known = self._files.get(content)
        if known is None:
            known = str(self.ask({"op": "file", "data": pack(content)}, _SILENCE)["path"])
            self._files[content] = known
        return known

    def listen(
        self,
        address: str,
        port: int,
        name: str,
        accepted: Accepted,
        *,
        more: Sequence[int] = (),
    ) -> int:
        """Carry the connections to a port in the pod; returns the port.

        Args:
            address: of the pod, to listen on.
            port: 0: any that is free.
            name: of this use of it, unique.
            accepted: called in the reader's thread, so it must not wait.
            more: further ports for the same use.

        Raises:
            AgentLostError: the stream is lost.
            ProbeError: the pod does not allow it.
        """
        self._acceptors[name] = accepted
        ports = [port, *more]
        request = {"op": "listen", "address": address, "ports": ports, "name": name}
        return int(self.ask(request, _SILENCE)["ports"][0])

    def dial(
        self, address: str, port: int, timeout: float, *, path: str = ""
    ) -> tuple[socket.socket, str]:
        """Connect from the pod; returns this machine's end and the source address there.

        With a ``path``, connect to that Unix socket of the pod.

        Raises:
            OSError: it cannot be connected.
            AgentLostError: the stream is lost.
        """
        number = next(self._tunnel_numbers)
        ours, theirs = socket.socketpair()
        self._tunnels.add(number, theirs)
        request = {"op": "dial", "address": address, "port": port, "timeout": timeout, "path": path}
        try:
            answer = self.ask({**request, "tunnel": number}, timeout + _SILENCE)
        except BaseException as error:
            ours.close()
            self._tunnels.take({"t": number, "r": 1})
            if isinstance(error, ProbeError):
                raise OSError(str(error)) from None
            raise
        return ours, str(answer["source"])

    def dial_later(
        self, address: str, port: int, timeout: float, connected: Callable[[int, str], None]
    ) -> socket.socket:
        """As `dial`, for a caller that must not wait; returns this machine's end at once.

        What is sent meanwhile comes later; an end that cannot be connected is closed.

        Args:
            address: to connect to, from the pod.
            port: the same.
            timeout: seconds.
            connected: called in the reader's thread with the connection's number (see `cut`) and
                its source address in the pod.

        Raises:
            AgentLostError: the stream is lost.
        """
        tunnel = next(self._tunnel_numbers)

        def answered(answer: Future[dict[str, Any]]) -> None:
            if answer.exception() is not None or "result" not in answer.result():
                theirs.close()
                return
            self._tunnels.add(tunnel, theirs)
            connected(tunnel, str(answer.result()["result"]["source"]))

        number, answer = self._expect()
        ours, theirs = socket.socketpair()
        answer.add_done_callback(answered)
        request = {"op": "dial", "address": address, "port": port, "timeout": timeout}
        try:
            self.send({**request, "path": "", "tunnel": tunnel, "id": number})
        except AgentLostError:
            ours.close()
            raise
        return ours

    def cut(self, number: int) -> None:
        """Reset a connection, at both of its ends."""
        self._tunnels.take({"t": number, "r": 1})
        self._tunnels.refuse(number)

    def serve_names(
        self,
        address: str,
        port: int,
        answer: Answer,
        *,
        name: str = "pod",
        domains: Sequence[str] = (),
        upstream: tuple[str, int] | None = None,
    ) -> int:
        """Be the pod's name server, on UDP and TCP; returns the port.

        Args:
            address: of the pod, to listen on.
            port: 0: any that is free.
            answer: called in the reader's thread, so it must not wait.
            name: tells several name servers of one pod apart.
            domains: names under these are not answered but asked of ``upstream``.
            upstream: the cluster's name server.

        Raises:
            AgentLostError: the stream is lost.
            ProbeError: the pod does not allow it.
        """
        self._answers[name] = answer
        request = {
            "op": "names",
            "name": name,
            "address": address,
            "port": port,
            "domains": list(domains),
            "upstream": upstream,
        }
        return int(self.ask(request, _SILENCE)["port"])

    def capture(self, *, tcp: int, dns: int | None, proxy: int, outside: int | None = None) -> None:
        """Redirect what the pod's programs open to its proxy, as istio-init does.

        Args:
            tcp: where the proxy takes connections.
            dns: where the pod's name server is; None: names are left alone.
            proxy: the number of the user that the proxy runs as.
            outside: where the proxy's own connections are led, whatever their address; then every
                IPv4 address exists in the pod. None: they go where they go.

        Raises:
            AgentLostError: the stream is lost.
            ProbeError: the pod does not allow it.
        """
        request = {"op": "capture", "tcp": tcp, "dns": dns, "proxy": proxy, "outside": outside}
        self.ask(request, _SILENCE)

    def turn_away(self, destinations: Sequence[tuple[str, int, str]]) -> None:
        """Let connects of the proxy fail, in place of what was said before.

        Args:
            destinations: an IPv4 address, a port (0: every one), and ``refuse``, ``hang`` or
                ``listen``; the first that matches counts.

        Raises:
            AgentLostError: the stream is lost.
            ProbeError: the pod does not allow it.
        """
        self.ask({"op": "turn_away", "destinations": list(destinations)}, _SILENCE)

    def close(self) -> None:
        """End the stream, and with it the agent. Twice is once."""
        self._lose("it has been closed")
        current = threading.current_thread()
        for thread in (self._reader, self._pinger):
            if thread.is_alive() and thread is not current:
                thread.join(_JOIN)
        with self._lock:
            released, self._released = self._released, True
        if not released:
            self._stream.release()

    def _write(self, data: bytes) -> None:
        with self._sending:
            self._stream.write(data)

    def _read(self) -> None:
        lines = Lines()
        why = "its stream has ended"
        try:
            while data := self._stream.read():
                self._heard = time.monotonic()
                for line in lines.feed(data):
                    self._take(decode(line))
        except (OSError, LineError) as error:
            why = str(error)
        complaint = self._stream.complaint()
        self._lose(f"{why}: {complaint}" if complaint else why)

    def _take(self, message: dict[str, Any]) -> None:
        if "hello" in message:
            self._hello.set_result(message)
            return
        if "id" not in message:
            self._hear(message)
            return
        with self._lock:
            answer = self._waiting.pop(message["id"], None)
        if answer is not None:
            answer.set_result(message)

    def _hear(self, message: dict[str, Any]) -> None:
        """Take a message that is no answer."""
        if "accepted" in message:
            address, port = message["to"]
            try:
                sock = self._acceptors[message["accepted"]](message["peer"], (address, port))
            except (OSError, ValueError):  # there is nobody to carry it to
                sock = None
            if sock is None:
                self._tunnels.refuse(message["t"])
            else:
                self._tunnels.add(message["t"], sock)
        elif "t" in message:
            self._tunnels.take(message)
        elif "out" in message:
            output = self._outputs.get(message["out"])
            if output is not None:
                output(message["fd"], unpack(message["d"]))
        elif "q" in message:
            data = self._answers[message["n"]](unpack(message["d"]), message["u"])
            self._send_quietly({"q": message["q"], "d": pack(data) if data else ""})

    def _send_quietly(self, message: dict[str, Any]) -> None:
        """Send, or know that the stream is lost already."""
        with contextlib.suppress(AgentLostError):
            self.send(message)

    def _ping(self) -> None:
        while not self._ended.wait(_PING_INTERVAL):
            silent = time.monotonic() - self._heard
            if silent > _SILENCE:
                self._lose(f"nothing has come from it for {silent:.0f} s")
                return
            with contextlib.suppress(AgentLostError):
                self.send({"op": "ping", "id": 0})

    def _lose(self, why: str) -> None:
        """Fail what is under way; the first reason counts."""
        with self._lock:
            first = not self.lost
            if first:
                self._why = why
                self._ended.set()
            waiting = list(self._waiting.values())
            self._waiting.clear()
        for answer in waiting:
            answer.set_exception(AgentLostError(self._why))
        if first:
            if not self._hello.done():
                self._hello.set_exception(AgentLostError(why))
            self._tunnels.close()
            self._stream.close()


def _check(hello: Mapping[str, Any]) -> None:
    if hello["hello"] != PROTOCOL:
        raise LineError(f"it speaks protocol {hello['hello']}, not {PROTOCOL}")

"""The side of the agent that a backend holds: it asks, waits, and knows when the stream is lost."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_egress.backends.agent.bundle import command, first_line
from pytest_egress.backends.agent.connection import AgentLostError, Connection
from pytest_egress.backends.agent.inside.wire import pack, unpack
from pytest_egress.backends.agent.stream import Stream
from pytest_egress.errors import ProbeError
from pytest_egress.probe import Attempt, DnsAnswer, Failure, Options, Target, from_json, to_json

__all__ = ["Agent", "AgentLostError", "Probed", "Ran"]

_MARGIN = 10.0  # seconds that an answer may take beyond the time that its request may


@dataclass(frozen=True, slots=True)
class Probed:
    """One attempt from the pod.

    Attributes:
        attempt: what the probe saw. Where the stream was lost meanwhile, its failure is of the
            kind ``lost``.
        source: the address of its connection in the pod, ``ip:port``; empty: there was none.
    """

    attempt: Attempt
    source: str = ""


@dataclass(frozen=True, slots=True)
class Ran:
    """One command that has ended.

    Attributes:
        returncode: its exit status; that of a signal is negative.
        timed_out: it took too long and was killed.
        truncated: of an output only the first 16 MiB are here.
    """

    returncode: int
    stdout: bytes
    stderr: bytes
    timed_out: bool = False
    truncated: bool = False


class Agent:
    """Drives the agent of one pod; may be used by several threads at once.

    The agent is started by the first request. A stream that is lost fails what was in flight; the
    next request opens another one.

    Args:
        connect: starts a command in the pod and returns its stream; an `OSError` or
            `BackendError` says why it cannot.
        name: what the pod is called in messages.
        python: the interpreter in the pod.
        start_timeout: seconds that the agent may take until it answers.
        on_start: called with each new stream before it is used: to listen, to serve names.
    """

    def __init__(
        self,
        connect: Callable[[Sequence[str]], Stream],
        *,
        name: str = "the test pod",
        python: str = "python3",
        start_timeout: float = 30.0,
        on_start: Callable[[Connection], None] | None = None,
    ) -> None:
        self.name = name
        self._connect = connect
        self._command = command(python)
        self._start_timeout = start_timeout
        self._on_start = on_start
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._closed = False
        self.connects = 0

    def start(self) -> None:
        """Start the agent now.

        Raises:
            AgentLostError: it cannot be started.
        """
        self._current()

    def pack(self) -> None:
        """Pack what `start` sends, while the pod that it goes to is still being made."""
        first_line()

    @property
    def connection(self) -> Connection:
        """The stream as it is now, opened if there is none.

        Raises:
            AgentLostError: it cannot be opened.
        """
        return self._current()

    def alive(self) -> bool:
        """Whether the agent runs, as far as it is known without asking it."""
        with self._lock:
            return self._connection is not None and not self._connection.lost

    def probe(
        self,
        target: Target,
        options: Options,
        *,
        ca_file: Path | str | None = None,
        dns: tuple[str, int] | None = None,
    ) -> Probed:
        """Make one attempt from the pod.

        Args:
            target: the destination.
            options: how; the files they name are those of this machine, and are sent.
            ca_file: the CAs trusted where the options name none; None: the pod's own.
            dns: the name server to ask; None: the pod's own resolver.

        Raises:
            ProbeError: a file cannot be read, or the probe's options cannot be honoured.
            AgentLostError: the agent cannot be started.
        """
        connection = self._current()
        try:
            sent = _with_files(connection, options)
            result = connection.ask(
                {
                    "op": "probe",
                    "target": to_json(target, lean=True),
                    "options": to_json(sent, lean=True),
                    "ca_file": _file(connection, ca_file),
                    "dns": dns,
                },
                options.timeout + _MARGIN,
            )
        except AgentLostError as error:
            failure = Failure("lost", f"the agent of {self.name} was lost meanwhile: {error}")
            return Probed(Attempt(str(target), "tcp", False, failure, nonce=options.nonce))
        return Probed(from_json(Attempt, result["attempt"]), result["source"])

    def lookup(
        self,
        name: str,
        family: str = "A",
        timeout: float = 5.0,
        *,
        dns: tuple[str, int] | None = None,
    ) -> DnsAnswer:
        """Look ``name`` up as the pod would; ``family`` is A, AAAA or any.

        Raises:
            AgentLostError: the agent cannot be started, or was lost meanwhile.
        """
        request = {"op": "lookup", "name": name, "family": family, "timeout": timeout, "dns": dns}
        result = self._current().ask(request, timeout + _MARGIN)
        return from_json(DnsAnswer, result["answer"])

    def exec(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        input: bytes = b"",  # noqa: A002  as subprocess.run names it
        timeout: float | None = 60.0,
    ) -> Ran:
        """Run a command in the pod to its end; no shell is involved.

        Args:
            argv: program and arguments.
            env: added to the pod's environment.
            cwd: the working directory; None: the pod's.
            input: what it reads from its standard input.
            timeout: seconds after which it is killed, with all that it has started; None: never.

        Raises:
            ProbeError: there is no such program or directory.
            AgentLostError: the agent cannot be started, or was lost meanwhile.
        """
        request = {
            "op": "exec",
            "argv": list(argv),
            "env": dict(env or {}),
            "cwd": cwd,
            "input": pack(input),
            "timeout": timeout,
        }
        result = self._current().ask(request, None if timeout is None else timeout + _MARGIN)
        return Ran(
            result["returncode"],
            unpack(result["stdout"]),
            unpack(result["stderr"]),
            timed_out=result["timed_out"],
            truncated=result["truncated"],
        )

    def file(self, content: bytes) -> str:
        """Send a file; returns its path in the pod, valid until the stream is lost.

        Raises:
            AgentLostError: the agent cannot be started, or was lost meanwhile.
        """
        return self._current().file(content)

    def dial(self, address: str, port: int, timeout: float) -> tuple[socket.socket, str]:
        """Connect from the pod to ``address:port``.

        Returns:
            A socket of this machine that the connection is carried to, and its source in the pod.

        Raises:
            OSError: it cannot be connected.
            AgentLostError: the agent cannot be started, or was lost meanwhile.
        """
        return self._current().dial(address, port, timeout)

    def close(self) -> None:
        """End the agent and all that it runs. Twice is once."""
        with self._lock:
            self._closed = True
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _current(self) -> Connection:
        with self._lock:
            if self._closed:
                raise AgentLostError(f"the agent of {self.name} has been closed")
            if self._connection is not None and not self._connection.lost:
                return self._connection
            if self._connection is not None:
                self._connection.close()
            self._connection = Connection.open(
                lambda: self._connect(self._command),
                self.name,
                self._start_timeout,
            )
            self.connects += 1
            if self._on_start is not None:
                try:
                    self._on_start(self._connection)
                except BaseException:
                    self._connection.close()
                    self._connection = None
                    raise
            return self._connection


def _with_files(connection: Connection, options: Options) -> Options:
    """The options with the paths that their files have in the pod."""
    if options.ca_file is None and options.client_cert is None:
        return options
    return replace(
        options,
        ca_file=_file(connection, options.ca_file),
        client_cert=_file(connection, options.client_cert),
        client_key=_file(connection, options.client_key),
    )


def _file(connection: Connection, path: Path | str | None) -> str | None:
    if path is None:
        return None
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ProbeError(f"{path}: {error.strerror or error}") from None
    return connection.file(content)

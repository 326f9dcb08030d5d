"""Commands in the pod, each in a process group of its own, which ends with the agent."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import tarfile
import tempfile
import threading
from collections.abc import Callable, Sequence
from typing import IO, Any

from pytest_egress.backends.agent.inside.wire import pack, unpack

__all__ = ["Commands"]

_MOST = 16 << 20  # bytes kept of each output
_DRAIN = 1.0  # seconds that what is left in the pipes may take after the end


class Commands:
    """Runs commands and knows those that are under way.

    Args:
        send: sends a message to the other side.
    """

    def __init__(self, send: Callable[[dict[str, Any]], None]) -> None:
        self._send = send
        self._lock = threading.Lock()
        self._running: dict[Any, subprocess.Popen[bytes]] = {}
        self._ended = False
        self._cancelled: set[Any] = set()

    def run(self, request: dict[str, Any]) -> dict[str, Any]:
        """Run ``argv`` to its end: ``env`` is added, ``cwd``, ``input``, ``timeout`` (seconds).

        With ``stream``, what it writes is sent as it comes and is no part of the answer. With the
        archive ``files``, its working directory is one that holds them and ends with it.
        """
        if not request.get("files"):
            return self._run(request)
        with tempfile.TemporaryDirectory(prefix="egress-", ignore_cleanup_errors=True) as name:
            with tarfile.open(fileobj=io.BytesIO(unpack(request["files"]))) as tar:
                tar.extraction_filter = getattr(tarfile, "data_filter", None)
                tar.extractall(name)  # noqa: S202  what the test gives, filtered where Python can
            return self._run({**request, "cwd": name})

    def _run(self, request: dict[str, Any]) -> dict[str, Any]:
        ident = request.get("id")

        def send(number: int) -> Callable[[bytes], None]:
            return lambda data: self._send({"out": ident, "fd": number, "d": pack(data)})

        sinks = [send(1), send(2)] if request.get("stream") else [None, None]
        environment = {**os.environ, **request.get("env", {})}
        with self._lock:  # no command starts unseen by `kill`
            if self._ended:
                raise ProcessLookupError("the agent is about to end")
            process = subprocess.Popen(  # noqa: S603  it is what was asked for
                request["argv"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                cwd=request.get("cwd"),
                start_new_session=True,
            )
            self._running[ident] = process
            if ident in self._cancelled:  # before it was here
                self._cancelled.discard(ident)
                _kill(process)
        try:
            return _watch(process, unpack(request.get("input", "")), request.get("timeout"), sinks)
        finally:
            with self._lock:
                self._running.pop(ident, None)

    def cancel(self, ident: Any) -> None:
        """Kill the command of a request; its answer comes all the same."""
        with self._lock:
            process = self._running.get(ident)
            if process is None:
                self._cancelled.add(ident)
        if process is not None:
            _kill(process)

    def kill(self) -> None:
        """Kill every command; none starts any more."""
        with self._lock:
            self._ended = True
            running = list(self._running.values())
        for process in running:
            _kill(process)


def _watch(
    process: subprocess.Popen[bytes],
    data: bytes,
    timeout: float | None,
    sinks: Sequence[Callable[[bytes], None] | None],
) -> dict[str, Any]:
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    outputs = [_Output(process.stdout, sinks[0]), _Output(process.stderr, sinks[1])]
    threading.Thread(target=_feed, args=(process.stdin, data), daemon=True).start()
    timed_out = False
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        timed_out = True
    # What it has started and left behind would hold the pipes open.
    _kill(process)
    process.wait()
    for output in outputs:
        output.thread.join(_DRAIN)
    return {
        "returncode": process.returncode,
        "stdout": pack(bytes(outputs[0].data)),
        "stderr": pack(bytes(outputs[1].data)),
        "timed_out": timed_out,
        "truncated": any(output.truncated for output in outputs),
    }


def _feed(pipe: IO[bytes], data: bytes) -> None:
    with contextlib.suppress(OSError), pipe:  # it need not read what it is given
        pipe.write(data)


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)


class _Output:
    """Reads one output to its end and keeps the first of it, or hands all of it to ``sink``."""

    def __init__(self, pipe: IO[bytes], sink: Callable[[bytes], None] | None) -> None:
        self._sink = sink
        self.data = bytearray()
        self.truncated = False
        self._pipe = pipe
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        with self._pipe:
            while more := os.read(self._pipe.fileno(), 65536):
                if self._sink is not None:
                    self._sink(more)
                    continue
                room = _MOST - len(self.data)
                self.data += more[:room]
                self.truncated |= len(more) > room

"""Commands in the pod: programs of any language behind the proxy."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from pytest_egress.backends.files import File, Given, given
from pytest_egress.backends.protocol import Capability, Mesh, PodCommand
from pytest_egress.capture.calls import Call, Calls
from pytest_egress.capture.capture import OnBlocked
from pytest_egress.capture.log import Log, outside_of_contract
from pytest_egress.capture.relay import Relay
from pytest_egress.errors import BackendError, CapturedCallError, ProbeError

__all__ = ["Completed", "Pod", "Service"]

_READY_INTERVAL = 0.02  # seconds between two looks at a service that starts
_KILL_TIMEOUT = 10.0  # seconds that a killed command may take to be gone


class Completed(subprocess.CompletedProcess[str]):
    """A command that has ended: `subprocess.CompletedProcess` and the calls it made.

    Attributes:
        calls: its call log.
    """

    def __init__(
        self, args: Sequence[str], returncode: int, stdout: str, stderr: str, calls: Calls
    ) -> None:
        super().__init__(list(args), returncode, stdout, stderr)
        self.calls = calls

    def __repr__(self) -> str:
        return f"<Completed {self.args!r}, exit status {self.returncode}, {self.calls!r}>"


@dataclass(frozen=True, slots=True)
class Service:
    """A command that runs in the pod and is called from the test.

    Attributes:
        url: ``http://127.0.0.1:PORT``, which leads to the service's port in the pod.
        port: that port on 127.0.0.1.
        calls: the calls that the service has made so far.
        output: returns what it has written to its standard output and error so far.
    """

    url: str
    port: int
    calls: Calls
    output: Callable[[], str]


class Pod:
    """Runs commands whose TCP and names go through the pod's proxy.

    Every language, every library, native code and child processes included.

    Args:
        mesh: where they run.
        require: raises `CapabilityError` where the backend cannot do something.
        new_log: makes the log of one command.
        explain: the long text about a call, for a failure.
    """

    def __init__(
        self,
        mesh: Mesh,
        require: Callable[[Capability], None],
        new_log: Callable[[], Log],
        explain: Callable[[Call], str],
    ) -> None:
        self._require = require
        self._mesh = mesh
        self._new_log = new_log
        self._explain = explain

    def exec(
        self,
        args: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        files: Mapping[str, Given] | None = None,
        input: str | None = None,  # noqa: A002 - as subprocess.run names it
        timeout: float | None = 60.0,
        check: bool = False,
        on_blocked: OnBlocked = "fail",
    ) -> Completed:
        """Run a command to its end; output is text.

        Args:
            args: program and arguments; no shell is involved.
            env: added to the pod's environment (on ``local`` this process's); the usual variables
                name the simulated outside's CA.
            cwd: the working directory, in the pod.
            files: by their relative paths in a directory that is made for the command, is its
                working directory in place of ``cwd``, and is removed with it: text or bytes are
                the content, a `pathlib.Path` is a file or directory of this machine, whose
                permissions are kept.
            input: what it reads from its standard input; None: nothing.
            timeout: seconds it may take.
            check: raise `subprocess.CalledProcessError` unless its exit status is 0.
            on_blocked: ``fail`` raises for calls that the mesh refuses or that have no proof,
                ``warn`` warns, ``allow`` leaves it to the test.

        Raises:
            BackendError: the pod cannot run it; it says what forbids it.
            ProbeError: ``files`` names what is not there, or ``cwd`` is given as well.
            CapturedCallError: see ``on_blocked``.
            subprocess.TimeoutExpired: it has been killed, with all that it had started.
        """
        __tracebackhide__ = True
        _check(args, on_blocked)
        if files and cwd is not None:
            raise ProbeError("files: they are in a directory of their own: leave cwd out")
        whole = given(files or {}, relative=True)
        return self._complete("", args, env, cwd, input, timeout, check, on_blocked, whole)

    def run(
        self,
        image: str,
        command: Sequence[str] = (),
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        files: Mapping[str, Given] | None = None,
        input: str | None = None,  # noqa: A002 - as subprocess.run names it
        timeout: float | None = 60.0,
        check: bool = False,
        on_blocked: OnBlocked = "fail",
    ) -> Completed:
        """Run a container of an image of yours in the pod, to its end; as `exec` otherwise.

        Args:
            image: its name; pulled where the engine does not have it.
            command: program and arguments; none: the image's own.
            env: added to the image's environment; the usual variables name the simulated
                outside's CA.
            cwd: the working directory; None: the image's own.
            files: copied into the container before it starts, by their absolute paths there:
                text or bytes are the content, a `pathlib.Path` is a file of this machine, or a
                directory with all that is below it. They belong to root; those of this machine
                keep their permissions, others have 0644.
            input: what it reads from its standard input; None: nothing.
            timeout: seconds it may take.
            check: raise `subprocess.CalledProcessError` unless its exit status is 0.
            on_blocked: as of `exec`.

        Raises:
            CapabilityError: the backend has no containers.
            BackendError: the image is not there, or the engine refuses.
            ProbeError: ``files`` names what is not there.
            CapturedCallError: see ``on_blocked``.
            subprocess.TimeoutExpired: it has been killed.
        """
        __tracebackhide__ = True
        self._require("pod-run")
        if not isinstance(image, str) or not image:
            raise ProbeError(f"image={image!r}: expected the name of an image")
        _check(command or [image], on_blocked)
        whole = given(files or {})
        return self._complete(image, command, env, cwd, input, timeout, check, on_blocked, whole)

    def _complete(
        self,
        image: str,
        args: Sequence[str],
        env: Mapping[str, str] | None,
        cwd: str | os.PathLike[str] | None,
        text: str | None,
        timeout: float | None,
        check: bool,
        on_blocked: OnBlocked,
        files: Sequence[File] = (),
    ) -> Completed:
        __tracebackhide__ = True
        log = self._new_log()
        with _texts() as (stdin, stdout, stderr):
            if text is not None:
                stdin.write(text.encode())
                stdin.seek(0)
            command = self._mesh.launch(
                log,
                args,
                environment=env,
                directory=None if cwd is None else os.fspath(cwd),
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                image=image,
                files=files,
            )
            try:
                status = command.wait(timeout)
                ended = command.ended()
                if status is None and not ended:
                    command.kill()
                    command.wait(_KILL_TIMEOUT)
            finally:
                command.close()
            log.freeze()
            out, err = _read(stdout), _read(stderr)
        if status is None and ended:
            raise BackendError("the process that watched over the command has gone", err)
        if status is None:
            raise subprocess.TimeoutExpired(list(args), timeout or 0.0, out, err)
        completed = Completed(args, status, out, err, log.calls)
        failure = outside_of_contract(log.calls, self._explain)
        _act(failure, on_blocked, completed)
        if check:
            completed.check_returncode()
        return completed

    @contextmanager
    def serve(
        self,
        args: Sequence[str],
        *,
        port: int,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        timeout: float = 30.0,
        on_blocked: OnBlocked = "fail",
    ) -> Iterator[Service]:
        """Run a service in the pod for the duration of a ``with`` block.

        Args:
            args: program and arguments.
            port: where it listens, on its own loopback.
            env: added to the pod's environment.
            cwd: the working directory.
            timeout: seconds it may take until it accepts connections.
            on_blocked: as of `exec`, judged when the block is left.

        Raises:
            BackendError: the pod cannot run it, or the service does not come up; with its
                output.
            CapturedCallError: see ``on_blocked``.
        """
        __tracebackhide__ = True
        _check(args, on_blocked)
        self._require("pod-serve")
        log = self._new_log()
        with _texts() as (stdin, output, _):
            command = self._mesh.launch(
                log,
                args,
                environment=env,
                directory=None if cwd is None else os.fspath(cwd),
                stdin=stdin,
                stdout=output,
                stderr=output,
            )
            relay: Relay | None = None
            try:
                _wait_until_it_accepts(command, args, port, timeout, output)
                relay = Relay(lambda: _blocking(command.connect(port, timeout)))
                yield Service(
                    f"http://127.0.0.1:{relay.port}", relay.port, log.calls, lambda: _read(output)
                )
            finally:
                if relay is not None:
                    relay.close()
                command.close()
                log.freeze()
        _act(outside_of_contract(log.calls, self._explain), on_blocked, None)


def _check(args: Sequence[str], on_blocked: str) -> None:
    __tracebackhide__ = True
    if isinstance(args, str) or not args:
        raise ProbeError(f"args={args!r}: expected a list of program and arguments")
    if on_blocked not in {"fail", "warn", "allow"}:
        raise ProbeError(f"on_blocked={on_blocked!r}: expected 'fail', 'warn' or 'allow'")


def _act(failure: str, on_blocked: str, completed: Completed | None) -> None:
    __tracebackhide__ = True
    if not failure or on_blocked == "allow":
        return
    if completed is not None and completed.stderr:
        failure = f"{failure}\n\nits standard error ended with:\n{completed.stderr[-1000:]}"
    if on_blocked == "fail":
        raise CapturedCallError(failure)
    import warnings

    warnings.warn(failure, stacklevel=3)


def _wait_until_it_accepts(
    command: PodCommand, args: Sequence[str], port: int, timeout: float, output: IO[bytes]
) -> None:
    deadline = time.monotonic() + timeout
    while not _accepts(command, port, timeout):
        if command.ended() or time.monotonic() > deadline:
            what = "ended" if command.ended() else f"has not opened it after {timeout:g} s"
            raise BackendError(
                f"{args[0]} is to listen on port {port}, but it {what}", _read(output)
            )
        threading.Event().wait(_READY_INTERVAL)


def _accepts(command: PodCommand, port: int, timeout: float) -> bool:
    try:
        command.connect(port, timeout).close()
    except OSError:
        return False
    return True


def _blocking(connection: socket.socket) -> socket.socket:
    connection.settimeout(None)
    return connection


@contextmanager
def _texts() -> Iterator[tuple[IO[bytes], IO[bytes], IO[bytes]]]:
    """Files for the three streams: a pipe would have to be read while the command runs."""
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(3)]
        yield files[0], files[1], files[2]


def _read(file: IO[bytes]) -> str:
    size = os.fstat(file.fileno()).st_size
    return os.pread(file.fileno(), size, 0).decode(errors="replace")

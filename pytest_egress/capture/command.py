"""Commands in the pod: programs of any language behind the proxy, without root or container."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pytest_egress.capture.calls import Call, Calls
from pytest_egress.capture.capture import OnBlocked
from pytest_egress.capture.log import Log, outside_of_contract
from pytest_egress.capture.namespace.host import Namespace
from pytest_egress.capture.relay import Relay
from pytest_egress.capture.trust import BUNDLE_VARIABLES
from pytest_egress.errors import BackendError, CapturedCallError, ProbeError

__all__ = ["Completed", "Pod", "Service"]

_READY_INTERVAL = 0.02  # seconds between two looks at a service that starts
_KILL_TIMEOUT = 10.0  # seconds that a killed command may take to be gone
_JAVA_PASSWORD = b"changeit"  # as of every JDK's own store: nothing in it is secret


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
    """Runs commands in network namespaces whose TCP and names go through the pod's proxy.

    Every language, every library, native code and child processes included. Linux only; needs
    neither root nor a container engine, but a kernel that lets users make namespaces.

    Args:
        new_log: makes the log of one command.
        explain: the long text about a call, for a failure.
    """

    def __init__(self, new_log: Callable[[], Log], explain: Callable[[Call], str]) -> None:
        self._new_log = new_log
        self._explain = explain

    def exec(
        self,
        args: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        input: str | None = None,  # noqa: A002 - as subprocess.run names it
        timeout: float | None = 60.0,
        check: bool = False,
        on_blocked: OnBlocked = "fail",
    ) -> Completed:
        """Run a command to its end; output is text.

        Args:
            args: program and arguments; no shell is involved.
            env: added to this process's environment; the usual variables name the simulated
                outside's CA.
            cwd: the working directory.
            input: what it reads from its standard input; None: nothing.
            timeout: seconds it may take.
            check: raise `subprocess.CalledProcessError` unless its exit status is 0.
            on_blocked: ``fail`` raises for calls that the mesh refuses or that have no proof,
                ``warn`` warns, ``allow`` leaves it to the test.

        Raises:
            BackendError: the system does not allow such a namespace; it says what forbids it.
            CapturedCallError: see ``on_blocked``.
            subprocess.TimeoutExpired: it has been killed, with all that it had started.
        """
        __tracebackhide__ = True
        _check(args, on_blocked)
        log = self._new_log()
        with _environment(log, env) as environment, _texts() as (stdin, stdout, stderr):
            if input is not None:
                stdin.write(input.encode())
                stdin.seek(0)
            namespace = Namespace(
                log,
                args,
                environment=environment,
                directory=cwd,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
            )
            try:
                status = namespace.wait(timeout)
                ended = namespace.ended()
                if status is None and not ended:
                    namespace.kill()
                    namespace.wait(_KILL_TIMEOUT)
            finally:
                namespace.close()
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
            env: added to this process's environment.
            cwd: the working directory.
            timeout: seconds it may take until it accepts connections.
            on_blocked: as of `exec`, judged when the block is left.

        Raises:
            BackendError: no namespace can be made, or the service does not come up; with its
                output.
            CapturedCallError: see ``on_blocked``.
        """
        __tracebackhide__ = True
        _check(args, on_blocked)
        log = self._new_log()
        with _environment(log, env) as environment, _texts() as (stdin, output, _):
            namespace = Namespace(
                log,
                args,
                environment=environment,
                directory=cwd,
                stdin=stdin,
                stdout=output,
                stderr=output,
            )
            relay: Relay | None = None
            try:
                _wait_until_it_accepts(namespace, args, port, timeout, output)
                relay = Relay(lambda: _blocking(namespace.connect(port, timeout)))
                yield Service(
                    f"http://127.0.0.1:{relay.port}", relay.port, log.calls, lambda: _read(output)
                )
            finally:
                if relay is not None:
                    relay.close()
                namespace.close()
                log.freeze()
        _act(outside_of_contract(log.calls, self._explain), on_blocked, None)


def _check(args: Sequence[str], on_blocked: str) -> None:
    __tracebackhide__ = True
    if isinstance(args, str) or not args:
        raise ProbeError(f"args={args!r}: expected a list of program and arguments")
    if on_blocked not in {"fail", "warn", "allow"}:
        raise ProbeError(f"on_blocked={on_blocked!r}: expected 'fail', 'warn' or 'allow'")
    if not sys.platform.startswith("linux"):
        raise BackendError(
            f"commands in the pod need Linux's network namespaces, and this is {sys.platform}",
            next_step="use egress.capture() for Python code, or another backend",
        )


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
    namespace: Namespace, args: Sequence[str], port: int, timeout: float, output: IO[bytes]
) -> None:
    deadline = time.monotonic() + timeout
    while not _accepts(namespace, port, timeout):
        if namespace.ended() or time.monotonic() > deadline:
            what = "ended" if namespace.ended() else f"has not opened it after {timeout:g} s"
            raise BackendError(
                f"{args[0]} is to listen on port {port}, but it {what}", _read(output)
            )
        threading.Event().wait(_READY_INTERVAL)


def _accepts(namespace: Namespace, port: int, timeout: float) -> bool:
    try:
        namespace.connect(port, timeout).close()
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


@contextmanager
def _environment(log: Log, given: Mapping[str, str] | None) -> Iterator[dict[str, str]]:
    """The command's environment: this process's, the trust in the outside's CA, what is given."""
    environment = dict(os.environ)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        # A proxy of this machine does not exist in the pod.
        for spelling in (name, name.lower()):
            environment.pop(spelling, None)
    with contextlib.ExitStack() as stack:
        ca_file = log.pod.ca_file
        if ca_file is not None:
            environment.update(dict.fromkeys(BUNDLE_VARIABLES, ca_file))
            own = tempfile.TemporaryDirectory(prefix="trust-", dir=log.pod.directory)
            store = Path(stack.enter_context(own))
            environment["JAVA_TOOL_OPTIONS"] = " ".join(
                [environment.get("JAVA_TOOL_OPTIONS", ""), *_java_trust(ca_file, store)]
            ).strip()
        environment.update(given or {})
        yield environment


def _java_trust(ca_file: str, directory: Path) -> list[str]:
    """A trust store for Java, which reads no PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

    certificate = x509.load_pem_x509_certificate(Path(ca_file).read_bytes())
    entry = pkcs12.PKCS12Certificate(certificate, b"pytest-egress")
    write: Any = getattr(pkcs12, "serialize_java_truststore", None)
    if write is None:
        return []  # an older cryptography: Java code then has to be told by the test
    path = directory / "truststore.p12"
    path.write_bytes(write([entry], BestAvailableEncryption(_JAVA_PASSWORD)))
    return [
        f"-Djavax.net.ssl.trustStore={path}",
        "-Djavax.net.ssl.trustStoreType=PKCS12",
        f"-Djavax.net.ssl.trustStorePassword={_JAVA_PASSWORD.decode()}",
    ]

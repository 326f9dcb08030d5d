"""The programs that make a cluster: found once, their failures told with their own words."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from contextlib import nullcontext, suppress

from pytest_egress.backends.cluster.progress import Say, step
from pytest_egress.errors import BackendError

__all__ = ["engine", "find", "run"]

_TAIL = 25  # lines of a program's output in a message
# Reads until the run is gone (kill -9 included), then ends the program and all that it has started:
# a cluster half-made must not go on being made beside the next run.
_GUARD = """
exec 3<&0 </dev/null
{ while read -r _; do :; done; kill -KILL 0; } <&3 >/dev/null 2>&1 &
watch=$!
exec 3<&-
"$@"
status=$?
kill "$watch"
exit "$status"
"""
_HELP = {
    "kind": "install it: https://kind.sigs.k8s.io/docs/user/quick-start/#installation",
    "istioctl": "install it: https://istio.io/latest/docs/setup/getting-started/, or give what it "
    "would install with --egress-istio-manifest",
    "kubectl": "install it: https://kubernetes.io/docs/tasks/tools/",
    "docker": "install and start a container engine",
    "podman": "install and start a container engine",
}


def find(name: str) -> str:
    """The path of a program.

    Raises:
        BackendError: it is not on PATH.
    """
    found = shutil.which(name)
    if found is None:
        raise BackendError(f"the backend kind needs the program {name}", "", _HELP.get(name, ""))
    return found


def engine() -> str:
    """The container engine's command, as kind chooses it."""
    provider = os.environ.get("KIND_EXPERIMENTAL_PROVIDER", "docker")
    return "docker" if provider == "" else provider


def run(
    arguments: Sequence[str],
    doing: str,
    *,
    timeout: float,
    say: Say | None = None,
    hint: str = "",
) -> str:
    """Run a program to its end; returns its standard output.

    It does not outlive this process, however that ends, nor does what it has started.

    Args:
        arguments: the program's name and what it is given.
        doing: what for, in the words of a failure: ``make the cluster x``.
        timeout: seconds that it may take.
        say: told that it goes on, while it does.
        hint: what to do when it fails.

    Raises:
        BackendError: it is not there, fails or does not end; with the end of its output.
    """
    command = [find(arguments[0]), *arguments[1:]]
    try:
        with nullcontext() if say is None else step(doing, say):
            done = _guarded(command, timeout)
    except subprocess.TimeoutExpired as error:
        said = f"{_text(error.stdout)}\n{_text(error.stderr)}"
        raise BackendError(
            f"cannot {doing}: {arguments[0]} has not ended after {timeout:g} s", _tail(said), hint
        ) from None
    except OSError as error:
        raise BackendError(f"cannot {doing}", str(error)) from error
    if done.returncode:
        raise BackendError(
            f"cannot {doing}: {arguments[0]} ended with exit status {done.returncode}",
            _tail(f"{done.stdout}\n{done.stderr}"),
            hint,
        )
    return done.stdout


def _guarded(command: Sequence[str], timeout: float) -> subprocess.CompletedProcess[str]:
    """Run a command in a session of its own, which ends with it, with us or after its time."""
    reading, writing = os.pipe()
    try:
        with subprocess.Popen(  # noqa: S603  a constant script, and programs that were found by name
            ["/bin/sh", "-c", _GUARD, "pytest-egress-guard", *command],
            stdin=reading,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                output, complaint = process.communicate(timeout=timeout)
            except BaseException:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                raise
            return subprocess.CompletedProcess(command, process.returncode, output, complaint)
    finally:
        os.close(reading)
        os.close(writing)


def _text(output: bytes | str | None) -> str:
    if isinstance(output, bytes):
        return output.decode("utf-8", "replace")
    return output or ""


def _tail(output: str) -> str:
    return "\n".join([line for line in output.splitlines() if line.strip()][-_TAIL:])

"""The programs that make a cluster: found once, their failures told with their own words."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence

from pytest_egress.backends.cluster.progress import Say, step
from pytest_egress.errors import BackendError

__all__ = ["engine", "find", "run"]

_TAIL = 25  # lines of a program's output in a message
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
    step_name: str = "",
    stdin: str | None = None,
) -> str:
    """Run a program to its end; returns its standard output.

    Args:
        arguments: the program's name and what it is given.
        doing: what for, in the words of a failure: ``make the cluster x``.
        timeout: seconds that it may take.
        say: told that it goes on, while it does.
        step_name: what is then said; empty: ``doing``.
        stdin: what it reads.

    Raises:
        BackendError: it is not there, fails or does not end; with the end of its output.
    """
    command = [find(arguments[0]), *arguments[1:]]

    def start() -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603  programs that were found by name
            command,
            input="" if stdin is None else stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    try:
        if say is None:
            done = start()
        else:
            with step(step_name or doing, say):
                done = start()
    except subprocess.TimeoutExpired as error:
        said = f"{_text(error.stdout)}\n{_text(error.stderr)}"
        raise BackendError(
            f"cannot {doing}: {arguments[0]} has not ended after {timeout:g} s", _tail(said)
        ) from None
    except OSError as error:
        raise BackendError(f"cannot {doing}", str(error)) from error
    if done.returncode:
        raise BackendError(
            f"cannot {doing}: {arguments[0]} ended with exit status {done.returncode}",
            _tail(f"{done.stdout}\n{done.stderr}"),
        )
    return done.stdout


def _text(output: bytes | str | None) -> str:
    if isinstance(output, bytes):
        return output.decode("utf-8", "replace")
    return output or ""


def _tail(output: str) -> str:
    return "\n".join([line for line in output.splitlines() if line.strip()][-_TAIL:])

"""Checks of what is around a mesh: container engine, kind, istioctl, kubectl and its context.

The engine is asked as the backend docker asks it, the programs through their own command lines,
which know contexts and credentials as their user set them up.
"""

from __future__ import annotations

import json
import shutil
import subprocess

from pytest_egress.backends.registry import kind, missing
from pytest_egress.doctor.check import Check
from pytest_egress.errors import BackendError

__all__ = ["program_checks"]

_TIMEOUT = 10.0  # seconds that a program may take to answer


def program_checks() -> tuple[Check, ...]:
    """The checks of backends that need more than this machine's own Envoy."""
    return (
        Check("docker", "containers: the backend docker, and kind's nodes", _docker),
        Check("kind", "a throw-away cluster: the backend kind", _kind),
        Check("istioctl", "installing Istio there, and istioctl's own analysis", _istioctl),
        Check("kubectl", "talking to clusters", _kubectl),
        Check("context", "an existing cluster: the backend cluster", _context),
    )


def _docker() -> str:
    """Ask the engine that the backend would use."""
    _need_packages("docker")
    from pytest_egress.backends.docker.engine import Engine

    engine = Engine()
    try:
        answer = engine.client.version()
    finally:
        engine.close()
    return f"engine {answer['Version']} on {answer['Os']}/{answer['Arch']}"


def _kind() -> str:
    told = _ask(["kind", "version"], "install kind: https://kind.sigs.k8s.io")
    _need_packages("kind")
    return told


def _istioctl() -> str:
    told = _ask(
        ["istioctl", "version", "--remote=false"],
        "install istioctl: https://istio.io/latest/docs/ops/diagnostic-tools/istioctl/",
    )
    return f"istioctl {told.removeprefix('client version: ')}"


def _kubectl() -> str:
    told = _ask(
        ["kubectl", "version", "--client", "--output=json"],
        "install kubectl: https://kubernetes.io/docs/tasks/tools/",
    )
    return f"kubectl {json.loads(told)['clientVersion']['gitVersion']}"


def _context() -> str:
    _need_packages("cluster")
    name = _ask(
        ["kubectl", "config", "current-context"],
        "choose one with kubectl config use-context NAME",
    )
    told = _ask(
        ["kubectl", "version", "--output=json", "--request-timeout=5s"],
        f"the cluster of the context {name} must be up and within reach",
    )
    server = json.loads(told).get("serverVersion", {})
    listing = "kubectl get deployments --all-namespaces --selector=app=istiod --output=name"
    istiod = _ask(
        [*listing.split(), "--request-timeout=5s"],
        "the account must be allowed to list deployments",
    )
    if not istiod:
        raise BackendError(
            f"the cluster of the context {name} runs no istiod",
            next_step="choose another context, or install Istio: istioctl install",
        )
    return f"context {name}, Kubernetes {server.get('gitVersion', '?')}, with istiod"


def _need_packages(backend: str) -> None:
    """See whether the Python packages of a backend are installed.

    Raises:
        BackendError: one is not.
    """
    chosen = kind(backend)
    lacking = missing(chosen)
    if lacking:
        raise BackendError(
            f"the Python package {' and '.join(lacking)} is not installed",
            next_step=f"pip install 'pytest-egress[{chosen.extra}]'",
        )


def _ask(command: list[str], next_step: str) -> str:
    """What a program prints.

    Raises:
        BackendError: it is not there, ends with another code than 0, or does not answer in time.
    """
    name = command[0]
    path = shutil.which(name)
    if path is None:
        raise BackendError(f"there is no `{name}` on PATH", next_step=next_step)
    shown = " ".join(command)
    try:
        done = subprocess.run(  # noqa: S603  a fixed command line, the program of the user's PATH
            [path, *command[1:]], capture_output=True, text=True, check=False, timeout=_TIMEOUT
        )
    except subprocess.TimeoutExpired:
        what = f"`{shown}` did not answer within {_TIMEOUT:g} seconds"
        raise BackendError(what, next_step=next_step) from None
    except OSError as error:
        raise BackendError(f"`{shown}` cannot be run", str(error), next_step) from error
    if done.returncode != 0:
        output = done.stderr.strip() or done.stdout.strip()
        raise BackendError(f"`{shown}` ended with {done.returncode}", output, next_step)
    return done.stdout.strip()

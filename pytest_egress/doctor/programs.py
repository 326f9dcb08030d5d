"""Checks of the programs around a mesh: container engine, kind, istioctl, kubectl and its context.

Each is asked through its own command line, which knows contexts and credentials as its user set
them up.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess

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
    if shutil.which("docker") is None and not os.environ.get("DOCKER_HOST"):
        raise BackendError("there is no `docker` on PATH", next_step="install Docker or Podman")
    answer = json.loads(
        _ask(
            ["docker", "version", "--format", "{{json .}}"],
            "start the engine (systemctl start docker), or name another one with DOCKER_HOST",
        )
    )
    server = answer.get("Server") or {}
    version, system = server.get("Version", "?"), f"{server.get('Os')}/{server.get('Arch')}"
    if importlib.util.find_spec("testcontainers") is None:
        raise BackendError(
            f"the engine answers (version {version}, {system}), testcontainers is not installed",
            next_step="pip install 'pytest-egress[docker]'",
        )
    return f"engine {version} on {system}"


def _kind() -> str:
    told = _ask(["kind", "version"], "install kind: https://kind.sigs.k8s.io")
    if importlib.util.find_spec("kubernetes") is None:
        raise BackendError(
            f"{told} is here, the Python package kubernetes is not",
            next_step="pip install 'pytest-egress[kind]'",
        )
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

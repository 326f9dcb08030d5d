"""An API server that can be made slow, silent or gone: a proxy before the real one.

It ends the encryption on both sides, so that it knows one request from the next, and speaks to the
real server with the credentials of the kubeconfig (or lets the client's own pass).
"""

from __future__ import annotations

import base64
import contextlib
import re
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import trustme
import yaml

__all__ = ["ApiProxy", "kubeconfig_of", "proxied"]

_REQUEST = re.compile(rb"(GET|POST|PUT|PATCH|DELETE) (\S+) HTTP/1\.1\r\n")
_TICK = 0.05  # seconds


def kubeconfig_of(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The cluster and the user of a kubeconfig's current context."""
    config = yaml.safe_load(path.read_text())
    named = {
        kind: {it["name"]: it for it in config[kind]} for kind in ("contexts", "clusters", "users")
    }
    context = named["contexts"][config["current-context"]]["context"]
    return named["clusters"][context["cluster"]]["cluster"], named["users"][context["user"]]["user"]


class ApiProxy:
    """A proxy on loopback; `kubeconfig` leads to it.

    Args:
        real: the kubeconfig of the real server.
        directory: for files.
        token: what a client shows; empty: the real kubeconfig's certificate is shown for it.
    """

    def __init__(self, real: Path, directory: Path, token: str = "") -> None:
        cluster, user = kubeconfig_of(real)
        url = urlsplit(cluster["server"])
        self._real = (url.hostname or "", url.port or 443)
        self._outward = ssl.create_default_context(
            cadata=base64.b64decode(cluster["certificate-authority-data"]).decode()
        )
        if not token:
            pair = directory / "client.pem"
            pair.write_bytes(
                b"\n".join(
                    base64.b64decode(user[it])
                    for it in ("client-certificate-data", "client-key-data")
                )
            )
            self._outward.load_cert_chain(pair)
        authority = trustme.CA()
        self._inward = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("127.0.0.1").configure_cert(self._inward)
        #: Seconds that each request waits before it is passed on.
        self.delay = 0.0
        #: Requests whose line it is found in get no answer, nor does anything after them.
        self.silence: re.Pattern[str] | None = None
        #: ``METHOD path`` of each request that was seen.
        self.seen: list[str] = []
        self._gone = threading.Event()
        self._closed = threading.Event()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(_TICK)
        self.kubeconfig = directory / "proxied.kubeconfig"
        self._write(authority, token)
        self._start(self._accept)

    def go(self) -> None:
        """Cut every connection, and close those that come."""
        self._gone.set()

    def come_back(self) -> None:
        """Be there again."""
        self._gone.clear()

    def close(self) -> None:
        """End every connection."""
        self._closed.set()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _write(self, authority: trustme.CA, token: str) -> None:
        certificate = base64.b64encode(authority.cert_pem.bytes()).decode()
        port = self._listener.getsockname()[1]
        server = {
            "server": f"https://127.0.0.1:{port}",
            "certificate-authority-data": certificate,
        }
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "proxied",
            "contexts": [{"name": "proxied", "context": {"cluster": "proxied", "user": "me"}}],
            "clusters": [{"name": "proxied", "cluster": server}],
            "users": [{"name": "me", "user": {"token": token} if token else {}}],
        }
        self.kubeconfig.write_text(yaml.safe_dump(config))

    def _start(self, target: Any, *arguments: Any) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            if self._gone.is_set():
                client.close()
            else:
                self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            client.settimeout(10)
            with (
                self._inward.wrap_socket(client, server_side=True) as inner,
                socket.create_connection(self._real, 10) as plain,
                self._outward.wrap_socket(plain, server_hostname=self._real[0]) as outer,
            ):
                self._carry(inner, outer)

    def _carry(self, inner: ssl.SSLSocket, outer: ssl.SSLSocket) -> None:
        """Pass on what comes, by one thread: a TLS connection is not for two at a time."""
        others = {inner: outer, outer: inner}
        while not self._over():
            ready = [it for it in others if it.pending()]
            for sock in ready or select.select(list(others), [], [], _TICK)[0]:
                sock.settimeout(0)
                try:
                    data = sock.recv(65536)
                except ssl.SSLWantReadError:  # a record that is none of the application's
                    continue
                others[sock].settimeout(10)
                if not data or (sock is inner and not self._asked(data)):
                    return
                others[sock].sendall(data)

    def _asked(self, data: bytes) -> bool:
        """Do with a request what is to be done; False: the connection has ended meanwhile."""
        found = _REQUEST.match(data)
        if found is None:
            return True
        line = b" ".join(found.groups()).decode()
        self.seen.append(line)
        until = time.monotonic() + self.delay
        while time.monotonic() < until or (self.silence and self.silence.search(line)):
            if self._over():
                return False
            time.sleep(_TICK)
        return True

    def _over(self) -> bool:
        return self._closed.is_set() or self._gone.is_set()


@contextlib.contextmanager
def proxied(real: Path, directory: Path, token: str = "") -> Iterator[ApiProxy]:
    """A proxy before the API server of a kubeconfig."""
    proxy = ApiProxy(real, directory, token)
    try:
        yield proxy
    finally:
        proxy.close()

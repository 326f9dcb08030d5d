"""A `requests.Session` whose connections start in the pod: its names, its proxy, its CA."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import requests
from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NameResolutionError, NewConnectionError
from urllib3.poolmanager import PoolManager

from pytest_egress.backends.protocol import Mesh

__all__ = ["pod_session"]

_DEFAULT_TIMEOUT = 10.0  # seconds; a lookup and a connection both take well under one


def pod_session(mesh: Callable[[], Mesh]) -> requests.Session:
    """Return a session that goes through ``mesh()``, asked anew for each connection.

    Failures are those of requests: ``requests.ConnectionError`` where the mesh resets or the
    name does not resolve.
    """
    session = requests.Session()
    # A proxy of the machine's environment would lead around the pod.
    session.trust_env = False
    session.verify = mesh().ca_file or True
    adapter = _PodAdapter(mesh)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


class _PodAdapter(HTTPAdapter):
    """An adapter whose pools open their connections in the pod."""

    def __init__(self, mesh: Callable[[], Mesh]) -> None:
        self._mesh = mesh
        super().__init__()

    def send(self, request: PreparedRequest, *args: Any, **options: Any) -> Response:
        """Send a request on a connection of its own.

        A pooled one may be closed at any moment by what a test has scripted since, and would meet
        neither a new proxy nor a new certificate.
        """
        self.poolmanager.clear()
        return super().send(request, *args, **options)

    def init_poolmanager(
        self, connections: int, maxsize: int, block: bool = False, **options: Any
    ) -> None:
        """Give the pool manager pool classes whose connections dial through the mesh."""
        manager = PoolManager(num_pools=connections, maxsize=maxsize, block=block, **options)
        plain, secure = _connections(self._mesh)
        manager.pool_classes_by_scheme = {
            "http": type("PodPool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
            "https": type("PodTLSPool", (HTTPSConnectionPool,), {"ConnectionCls": secure}),
        }
        self.poolmanager = manager


def _connections(
    mesh: Callable[[], Mesh],
) -> tuple[type[HTTPConnection], type[HTTPSConnection]]:
    def dial(connection: HTTPConnection) -> socket.socket:
        timeout = connection.timeout
        seconds = timeout if isinstance(timeout, int | float) else _DEFAULT_TIMEOUT
        pod = mesh()
        host = connection._dns_host.strip("[]")  # noqa: SLF001  urllib3 keeps the name here
        try:
            socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
            address = host
        except OSError:
            answer = pod.lookup(host, "A", seconds)
            if not answer.addresses:
                unknown = answer.rcode in {"NOERROR", "NXDOMAIN"}
                code = socket.EAI_NONAME if unknown else socket.EAI_AGAIN
                reason = socket.gaierror(code, f"{answer.rcode} from the pod's DNS")
                raise NameResolutionError(host, connection, reason) from None
            address = answer.addresses[0]
        try:
            opened = pod.dial(address, connection.port or 80, seconds)
        except OSError as error:
            raise NewConnectionError(connection, f"the pod's proxy: {error}") from error
        opened.settimeout(seconds if isinstance(timeout, int | float) else None)
        return opened

    class PodConnection(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return dial(self)

    class PodTLSConnection(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return dial(self)

    return PodConnection, PodTLSConnection

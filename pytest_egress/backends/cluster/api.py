"""The API server of a cluster: plain dicts in and out, every failure a `BackendError`."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from pytest_egress.backends.cluster.exec_stream import AttachStream, ExecStream
from pytest_egress.backends.cluster.rbac import Review
from pytest_egress.errors import BackendError

__all__ = ["Api", "ApiError", "istio_path"]

Json = dict[str, Any]
_T = TypeVar("_T")

_TIMEOUT = 30.0  # seconds for one request
_ISTIO = "networking.istio.io"
_WEBHOOK = "failed calling webhook"
_ISTIOD = "who serves that webhook does not answer: is istiod running?"
_HINTS = {
    401: "log in to the cluster again: its credentials are not, or no longer, accepted",
    403: "pytest-egress rbac prints the permissions that this backend needs",
}


class ApiError(BackendError):
    """The API server refused a request, or did not answer.

    Attributes:
        status: the HTTP status; 0: there was no answer.
    """

    def __init__(self, tried: str, output: str = "", next_step: str = "", status: int = 0) -> None:
        super().__init__(tried, output, next_step)
        self.status = status
        self.args = (tried, output, next_step, status)


class Api:
    """One context of a kubeconfig, or the cluster that this process runs in.

    Args:
        context: its name; empty: the current one.
        kubeconfig: path of the file; empty: KUBECONFIG, then ``~/.kube/config``.
        check: called with the context's name and the server's URL before anything is asked of it.
        timeout: seconds that one request may take.
    """

    def __init__(
        self,
        context: str = "",
        kubeconfig: str = "",
        *,
        check: Callable[[str, str], None] | None = None,
        timeout: float = _TIMEOUT,
    ) -> None:
        self._asked_for = context
        self._kubeconfig = kubeconfig
        self._check = check
        self._timeout = timeout
        self._lock = threading.Lock()
        self._client: Any = None
        self.context = context

    @property
    def client(self) -> Any:
        """The client library's `ApiClient`, connected on first use.

        Raises:
            BackendError: there is no such context, or it is not to be used.
        """
        with self._lock:
            if self._client is None:
                self._client = self._connect()
            return self._client

    @property
    def server(self) -> str:
        """The URL of the API server."""
        return str(self.client.configuration.host)

    def _connect(self) -> Any:
        from kubernetes import client, config

        settings = client.Configuration()
        try:
            if not self._asked_for and not self._kubeconfig and _inside_a_cluster():
                config.load_incluster_config(settings)
            else:
                named, current = config.list_kube_config_contexts(self._kubeconfig or None)
                self.context = self._asked_for or current["name"]
                if self.context not in {it["name"] for it in named}:
                    names = ", ".join(sorted(it["name"] for it in named)) or "none"
                    raise BackendError(
                        f"the kubeconfig has no context {self.context}", f"it has {names}"
                    )
                config.load_kube_config(
                    self._kubeconfig or None, self.context, settings, persist_config=False
                )
        except (config.ConfigException, OSError, TypeError, KeyError) as error:
            raise BackendError(
                "no cluster can be found",
                str(error),
                "name a kubeconfig (KUBECONFIG) and a context of it with --egress-context",
            ) from error
        settings.retries = False
        if self._check is not None:
            self._check(self.context, str(settings.host))
        return client.ApiClient(settings)

    # -- requests ---------------------------------------------------------------------------------

    def get(self, path: str, doing: str, **query: str) -> Json:
        """Read an object or a list of them.

        Raises:
            ApiError: it cannot be read; with status 404 where there is none.
        """
        return self._request("GET", path, doing, query=query)

    def create(self, path: str, body: Mapping[str, Any], doing: str, **query: str) -> Json:
        """Create an object; returns it as the cluster has it.

        Raises:
            ApiError: the cluster refuses it.
        """
        return self._request("POST", path, doing, body, query=query)

    def replace(self, path: str, body: Mapping[str, Any], doing: str) -> Json:
        """Put an object in the place of another one.

        Raises:
            ApiError: the cluster refuses it.
        """
        return self._request("PUT", path, doing, body)

    def patch(self, path: str, body: Mapping[str, Any], doing: str) -> Json:
        """Merge ``body`` into an object.

        Raises:
            ApiError: the cluster refuses it.
        """
        return self._request("PATCH", path, doing, body)

    def delete(self, path: str, doing: str, *, grace: int | None = None) -> None:
        """Delete an object; one that is not there is deleted already.

        Raises:
            ApiError: the cluster refuses it.
        """
        query = {} if grace is None else {"gracePeriodSeconds": str(grace)}
        try:
            self._request("DELETE", path, doing, query=query)
        except ApiError as error:
            if error.status != 404:
                raise

    def may(self, review: Review) -> bool:
        """Whether this account may do something.

        Raises:
            ApiError: the API server does not tell.
        """
        kind = "SelfSubjectAccessReview"
        api = "authorization.k8s.io/v1"
        told = self.create(
            f"/apis/{api}/{kind.lower()}s",
            {
                "apiVersion": api,
                "kind": kind,
                "spec": {"resourceAttributes": review.attributes()},
            },
            "ask for this account's rights",
        )
        return bool(told.get("status", {}).get("allowed"))

    def text(self, path: str, doing: str, **query: str) -> str:
        """Read plain text, such as a log.

        Raises:
            ApiError: it cannot be read.
        """
        return self._send("GET", path, doing, None, query).decode("utf-8", "replace")

    def follow(
        self, path: str, doing: str, **query: str
    ) -> tuple[Iterator[str], Callable[[], None]]:
        """Follow a text that goes on, such as a log: its lines, and what ends it.

        Raises:
            ApiError: it cannot be read.
        """
        response = self._open("GET", path, doing, None, query, stream=True)

        def lines() -> Iterator[str]:
            rest = b""
            # Read in pieces of what has come: a log may be silent for long.
            while piece := response.read1(65536):
                *whole, rest = (rest + piece).split(b"\n")
                yield from (line.decode("utf-8", "replace") for line in whole)

        def close() -> None:
            connection = getattr(response, "connection", None) or response._connection  # noqa: SLF001  urllib3 1
            sock = getattr(connection, "sock", None)
            if sock is not None:
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)  # wakes whoever reads
            response.close()

        return lines(), close

    def exec(self, namespace: str, pod: str, container: str, argv: Sequence[str]) -> ExecStream:
        """Start a command in a container.

        Raises:
            ApiError: it cannot be started.
        """
        doing = f"start a command in {namespace}/{pod}"
        client = self.client
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}"
        who = self._credentials()
        return self._call(
            doing,
            lambda: ExecStream(client.configuration, who, path, container, argv, self._timeout),
        )

    def _credentials(self) -> dict[str, str]:
        """The headers that say who asks; a token that has expired is made anew."""
        settings = self.client.configuration.auth_settings()
        return {known["key"]: str(known["value"]) for known in settings.values()}

    def attach(
        self, namespace: str, pod: str, container: str, *, feed: bool = False
    ) -> AttachStream:
        """Attach to the outputs of a container that runs, or to its input.

        Raises:
            ApiError: it does not run, or it may not be attached to.
        """
        client = self.client
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}"
        who = self._credentials()
        return self._call(
            f"attach to a container of {namespace}/{pod}",
            lambda: AttachStream(
                client.configuration, who, path, container, self._timeout, feed=feed
            ),
        )

    def _request(
        self,
        method: str,
        path: str,
        doing: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Json:
        data = self._send(method, path, doing, body, query or {})
        read = json.loads(data) if data else {}
        return read if isinstance(read, dict) else {}

    def _send(
        self,
        method: str,
        path: str,
        doing: str,
        body: Mapping[str, Any] | None,
        query: Mapping[str, str],
    ) -> bytes:
        return bytes(self._open(method, path, doing, body, query).data)

    def _open(
        self,
        method: str,
        path: str,
        doing: str,
        body: Mapping[str, Any] | None,
        query: Mapping[str, str],
        *,
        stream: bool = False,
    ) -> Any:
        """The response of a request: with ``stream`` it goes on, however silent it is."""
        from urllib.parse import urlencode

        import urllib3

        client = self.client

        def send() -> Any:
            headers = {"Accept": "application/json, */*", "Content-Type": "application/json"}
            if method == "PATCH":
                headers["Content-Type"] = "application/merge-patch+json"
            headers |= self._credentials()
            url = f"{client.configuration.host}{path}"
            if query:
                url = f"{url}?{urlencode(query)}"
            response = client.rest_client.pool_manager.request(
                method,
                url,
                body=None if body is None else json.dumps(body).encode(),
                headers=headers,
                timeout=urllib3.Timeout(self._timeout, None) if stream else self._timeout,
                retries=False,
                preload_content=not stream,
            )
            if response.status >= 400:
                raise _refused(doing, response.status, response.data)
            return response

        return self._call(doing, send)

    def _call(self, doing: str, function: Callable[[], _T]) -> _T:
        import urllib3
        from websocket import WebSocketBadStatusException, WebSocketException

        try:
            return function()
        except WebSocketBadStatusException as error:
            raise _refused(doing, error.status_code, error.resp_body or str(error)) from error
        except (WebSocketException, urllib3.exceptions.HTTPError, OSError) as error:
            raise self._silent(doing, error) from error

    def _silent(self, doing: str, error: Exception) -> ApiError:
        return ApiError(
            f"cannot {doing}: the API server {self.server} does not answer as it should",
            str(getattr(error, "reason", "") or error),
            "is the cluster up, and does this kubeconfig lead to it?",
        )


def istio_path(namespace: str, plural: str, name: str = "", version: str = "v1") -> str:
    """The path of Istio's objects of a kind, or of one of them."""
    path = f"/apis/{_ISTIO}/{version}/namespaces/{namespace}/{plural}"
    return f"{path}/{name}" if name else path


def _refused(doing: str, status: int, body: bytes | str | None) -> ApiError:
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body or "")
    try:
        text = str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        text = text[-1000:]
    hint = _ISTIOD if _WEBHOOK in text else _HINTS.get(status, "")
    return ApiError(f"cannot {doing}: the API server says {status}", text, hint, status)


def _inside_a_cluster() -> bool:
    import os
    from pathlib import Path

    return (
        "KUBERNETES_SERVICE_HOST" in os.environ
        and "KUBECONFIG" not in os.environ
        and not (Path.home() / ".kube" / "config").exists()
    )

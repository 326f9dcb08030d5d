"""The probe methods of a test pod, once or many times."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, overload

from pytest_egress.errors import ProbeError
from pytest_egress.outcome import Outcome
from pytest_egress.probe import Options, ProbeOptionError, Target

if TYPE_CHECKING:
    from pytest_egress.backends.protocol import Mesh
    from pytest_egress.outcomes import Outcomes

__all__ = ["Probes", "read_probe"]


class Probes(ABC):
    """Every probe method takes a URL and returns an `Outcome`, or with ``n`` many `Outcomes`.

    None raises for what the network does. Further keyword arguments are the probe's options
    (`pytest_egress.Options`). URLs are ``http:// https:// tls:// tcp:// grpc:// grpcs://``.
    """

    _timeout: float

    @property
    @abstractmethod
    def mesh(self) -> Mesh:
        """The proxy that enforces the contract."""

    @abstractmethod
    def _attempt(self, target: Target, options: Options) -> Outcome:
        """Make one attempt and judge it."""

    @overload
    def get(self, url: str, *, n: int, concurrency: int = 1, **options: Any) -> Outcomes: ...

    @overload
    def get(self, url: str, **options: Any) -> Outcome: ...

    def get(self, url: str, **options: Any) -> Outcome | Outcomes:
        """Send a GET."""
        __tracebackhide__ = True
        return self._send(url, method="GET", **options)

    @overload
    def head(self, url: str, *, n: int, concurrency: int = 1, **options: Any) -> Outcomes: ...

    @overload
    def head(self, url: str, **options: Any) -> Outcome: ...

    def head(self, url: str, **options: Any) -> Outcome | Outcomes:
        """Send a HEAD."""
        __tracebackhide__ = True
        return self._send(url, method="HEAD", **options)

    @overload
    def post(self, url: str, *, n: int, concurrency: int = 1, **options: Any) -> Outcomes: ...

    @overload
    def post(self, url: str, **options: Any) -> Outcome: ...

    def post(self, url: str, **options: Any) -> Outcome | Outcomes:
        """Send a POST; ``body`` is bytes or text."""
        __tracebackhide__ = True
        return self._send(url, method="POST", **options)

    @overload
    def put(self, url: str, *, n: int, concurrency: int = 1, **options: Any) -> Outcomes: ...

    @overload
    def put(self, url: str, **options: Any) -> Outcome: ...

    def put(self, url: str, **options: Any) -> Outcome | Outcomes:
        """Send a PUT; ``body`` is bytes or text."""
        __tracebackhide__ = True
        return self._send(url, method="PUT", **options)

    @overload
    def delete(self, url: str, *, n: int, concurrency: int = 1, **options: Any) -> Outcomes: ...

    @overload
    def delete(self, url: str, **options: Any) -> Outcome: ...

    def delete(self, url: str, **options: Any) -> Outcome | Outcomes:
        """Send a DELETE."""
        __tracebackhide__ = True
        return self._send(url, method="DELETE", **options)

    @overload
    def request(
        self, method: str, url: str, *, n: int, concurrency: int = 1, **options: Any
    ) -> Outcomes: ...

    @overload
    def request(self, method: str, url: str, **options: Any) -> Outcome: ...

    def request(self, method: str, url: str, **options: Any) -> Outcome | Outcomes:
        """Send one HTTP request; redirects are not followed."""
        __tracebackhide__ = True
        return self._send(url, method=method, **options)

    @overload
    def connect(self, url: str, *, n: int, concurrency: int = 1, **options: Any) -> Outcomes: ...

    @overload
    def connect(self, url: str, **options: Any) -> Outcome: ...

    def connect(self, url: str, **options: Any) -> Outcome | Outcomes:
        """Open a raw TCP connection to ``tcp://host:port`` or ``host:port`` and exchange bytes.

        ``payload`` is sent (default: a line that the simulated outside answers with its token);
        ``read_first=True`` waits for the server's banner before it sends.
        """
        __tracebackhide__ = True
        return self._send(url if "://" in url else f"tcp://{url}", **options)

    @overload
    def tls(self, url: str, *, n: int, concurrency: int = 1, **options: Any) -> Outcomes: ...

    @overload
    def tls(self, url: str, **options: Any) -> Outcome: ...

    def tls(self, url: str, **options: Any) -> Outcome | Outcomes:
        """Make a TLS handshake with ``tls://host[:port]`` or ``host[:port]``, nothing after it."""
        __tracebackhide__ = True
        return self._send(url if "://" in url else f"tls://{url}", **options)

    @overload
    def grpc(
        self, url: str, service: str = "", *, n: int, concurrency: int = 1, **options: Any
    ) -> Outcomes: ...

    @overload
    def grpc(self, url: str, service: str = "", **options: Any) -> Outcome: ...

    def grpc(self, url: str, service: str = "", **options: Any) -> Outcome | Outcomes:
        """Ask the gRPC health service (``grpc://`` in plain text, ``grpcs://`` over TLS)."""
        __tracebackhide__ = True
        return self._send(url if "://" in url else f"grpc://{url}", grpc_service=service, **options)

    @overload
    def probe(self, url: str, *, n: int, concurrency: int = 1, **options: Any) -> Outcomes: ...

    @overload
    def probe(self, url: str, **options: Any) -> Outcome: ...

    def probe(self, url: str, **options: Any) -> Outcome | Outcomes:
        """Make one attempt to ``url`` and judge it, or ``n`` of them, each a connection of its own.

        Args:
            url: what is asked for.
            options: the probe's options; ``n``: how many attempts to make; ``concurrency``: how
                many of them may be under way at the same time.

        Raises:
            ProbeError: the URL or an option is wrong.
            BackendError: the proxy cannot be brought up.
        """
        __tracebackhide__ = True
        return self._send(url, **options)

    def _send(
        self, url: str, *, n: int | None = None, concurrency: int = 1, **options: Any
    ) -> Outcome | Outcomes:
        __tracebackhide__ = True
        if n is None:
            if concurrency != 1:
                raise ProbeError("concurrency: expected n, the number of attempts, with it")
            return self._attempt(*read_probe(url, self._timeout, options))
        for name, value in (("n", n), ("concurrency", concurrency)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ProbeError(f"{name}: expected 1 or more, got {value!r}")
        # Each has a nonce of its own.
        attempts = [read_probe(url, self._timeout, options) for _ in range(n)]
        return self._attempt_all(attempts, concurrency)

    @abstractmethod
    def _attempt_all(self, attempts: list[tuple[Target, Options]], concurrency: int) -> Outcomes:
        """Make all attempts of one probe and judge them."""

    def _attempt_urls(
        self, urls: Iterable[str], concurrency: int | None, options: Mapping[str, Any]
    ) -> list[tuple[str, Outcome]]:
        """Probe each URL once, so many at the same time; None: as many as there are pods."""
        __tracebackhide__ = True
        each = dict.fromkeys(urls)
        if concurrency is None:
            concurrency = self.mesh.pods
        if not each or not isinstance(concurrency, int) or concurrency < 1:
            raise ProbeError("expected at least one target, and a concurrency of 1 or more")
        attempts = [read_probe(url, self._timeout, options) for url in each]
        return list(zip(each, self._attempt_each(attempts, concurrency), strict=True))

    def _attempt_each(
        self,
        attempts: list[tuple[Target, Options]],
        concurrency: int,
        make: Callable[[Target, Options], Outcome] | None = None,
    ) -> list[Outcome]:
        """Make attempts, so many at the same time; their outcomes in the order given."""
        make = make or self._attempt
        if concurrency == 1:
            return [make(*attempt) for attempt in attempts]
        _ = self.mesh  # started once, not by every thread
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(concurrency, "pytest-egress-probe") as executor:
            return list(executor.map(lambda attempt: make(*attempt), attempts))


def read_probe(url: str, timeout: float, options: Mapping[str, Any]) -> tuple[Target, Options]:
    """Return where and how to probe.

    Raises:
        ProbeError: the URL or an option is wrong.
    """
    __tracebackhide__ = True
    values = {"timeout": timeout, **options}
    headers = values.get("headers")
    if isinstance(headers, Mapping):
        values["headers"] = tuple(headers.items())
    elif isinstance(headers, Iterable):
        values["headers"] = tuple(headers)
    for name in ("body", "payload"):
        if isinstance(values.get(name), str):
            values[name] = values[name].encode()
    known = {item.name for item in dataclasses.fields(Options)}
    for name in values:
        if name not in known:
            raise ProbeError(f"unknown probe option {name!r}{_spelling(name, known)}")
    try:
        return Target.parse(url), Options(**values)
    except ProbeOptionError as error:
        raise ProbeError(str(error)) from None


def _spelling(name: str, known: set[str]) -> str:
    import difflib

    close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.4)
    return f"; did you mean {close[0]!r}?" if close else f"; expected one of {sorted(known)}"

"""The receiver of a sidecar's own access log: its container's output, followed at the API server.

Istio has Envoy write that log once a second, so a record takes about that long.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pytest_egress.backends.cluster.textlog import read_line
from pytest_egress.evidence import Evidence

__all__ = ["LogWitness"]

_KEEP = 10_000
_SETTLE = 2.5  # seconds: Envoy writes once a second, the kubelet passes on at once
_AGAIN = 0.5  # seconds until a log that ended is followed again


class LogWitness:
    """Collects records by their source address, as `pytest_egress.backends.witness.Witness` does.

    Args:
        follow: opens the log from now on; its lines, and what closes it.
        read: turns a logged record into the fields of `Evidence`.
    """

    def __init__(
        self,
        follow: Callable[[], tuple[Iterator[str], Callable[[], None]]],
        read: Callable[[Mapping[str, Any]], dict[str, Any]],
    ) -> None:
        self._follow = follow
        self._fields = read
        self._changed = threading.Condition()
        self._records: OrderedDict[str, list[Evidence]] = OrderedDict()
        self.troubled = False
        #: Whether any connection has been passed on to an upstream.
        self.passed = False
        self._closed = threading.Event()
        self._close: Callable[[], None] | None = None
        self._thread = threading.Thread(target=self._run, name="egress-log", daemon=True)
        self._thread.start()

    def wait(
        self, source: str, timeout: float, known: tuple[Evidence, ...] = ()
    ) -> tuple[Evidence, ...]:
        """Return the record of ``source`` once it is there, and forget it."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while not known and source not in self._records and not self._closed.is_set():
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            return tuple(self._records.pop(source, ()))

    def take(self, source: str) -> tuple[Evidence, ...]:
        """Return the records of ``source`` that are there, and forget them."""
        with self._changed:
            return tuple(self._records.pop(source, ()))

    def waiting(self) -> dict[str, str]:
        """The sources whose records nobody has taken yet, and their original destinations."""
        with self._changed:
            return {source: records[0].destination for source, records in self._records.items()}

    def settle(self) -> bool:
        """Return once what the proxy has logged so far is here."""
        self._closed.wait(_SETTLE)
        return not self._closed.is_set()

    def close(self) -> None:
        """Stop receiving. Twice is once."""
        self._closed.set()
        with self._changed:
            self._changed.notify_all()
        if self._close is not None:
            with contextlib.suppress(Exception):
                self._close()
        self._thread.join(5)

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                lines, self._close = self._follow()
                for line in lines:
                    self._add(line)
            except Exception:  # noqa: BLE001  the log ends in many ways; without it nothing is proven
                if self._closed.is_set():
                    return
            self._closed.wait(_AGAIN)

    def _add(self, line: str) -> None:
        record = read_line(line)
        if record is None or not record["tcp.source"] or not record["destination"]:
            return
        evidence = Evidence.from_record(self._fields(record))
        with self._changed:
            self.troubled |= evidence.response_code >= 500 or bool(evidence.response_flags)
            self.passed |= bool(evidence.upstream_host)
            self._records.setdefault(evidence.source, []).append(evidence)
            while len(self._records) > _KEEP:
                self._records.popitem(last=False)
            self._changed.notify_all()

"""The receiver of the proxy's access log: one Unix socket per proxy, one record per connection.

Envoy's fluentd access logger with a buffer of one byte sends each record the moment it is made,
which a file would do only milliseconds later.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_egress.envoy.instruments import HTTP_CHAIN, fields_of
from pytest_egress.evidence import Evidence

__all__ = ["Witness"]

_HTTP_CHAINS = {HTTP_CHAIN, "virtualOutbound-catchall-tcp-http"}  # the latter is istiod's
_KEEP = 10_000  # sources whose records nobody asked for: application traffic of a long run
_SETTLE_TIMEOUT = 5.0  # seconds; draining what lies in the sockets takes microseconds


class Witness:
    """Collects access-log records by their source address.

    Args:
        path: of the Unix socket that it makes.
        read: turns a logged record into the fields of `Evidence`.
    """

    def __init__(
        self, path: Path, read: Callable[[Mapping[str, Any]], dict[str, Any]] = fields_of
    ) -> None:
        self.path = path
        self._fields = read
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._listener.setblocking(False)
        self._bell, self._rope = socket.socketpair()
        self._changed = threading.Condition()
        self._records: OrderedDict[str, list[Evidence]] = OrderedDict()
        #: Whether a record has told of a failure, which the proxy may remember (outlier detection).
        self.troubled = False
        self._closed = False
        self._rung = self._drained = 0
        self._thread = threading.Thread(target=self._run, name="egress-witness", daemon=True)
        self._thread.start()

    def wait(
        self, source: str, timeout: float, known: tuple[Evidence, ...] = ()
    ) -> tuple[Evidence, ...]:
        """Return the records of ``source`` once they are complete, and forget them.

        That is when its connection's own record is there and, where that one names a filter chain
        that speaks HTTP, a request's as well. When ``timeout`` seconds pass, what has come so far
        is returned. ``known`` are records of it that have been taken already.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            while not self._complete(source, known):
                left = deadline - time.monotonic()
                if left <= 0 or self._closed:
                    break
                self._changed.wait(left)
            return self._take(source)

    def pick(
        self, source: str, wanted: Callable[[Evidence], bool], timeout: float
    ) -> Evidence | None:
        """Return one record of ``source`` and forget it, as soon as it is there.

        That is the first one that is wanted; after ``timeout`` seconds there is none.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                records = self._records.get(source, [])
                found = next(filter(wanted, records), None)
                if found is not None:
                    records.remove(found)
                    return replace(found, filter_chain=_named(found))
                left = deadline - time.monotonic()
                if left <= 0 or self._closed:
                    return None
                self._changed.wait(left)

    def take(self, source: str) -> tuple[Evidence, ...]:
        """Return the records of ``source`` that are there, and forget them."""
        with self._changed:
            return self._take(source)

    def waiting(self) -> dict[str, str]:
        """The sources whose records nobody has taken yet, and their original destinations."""
        with self._changed:
            return {source: records[0].destination for source, records in self._records.items()}

    def settle(self) -> bool:
        """Return once everything that the proxy has sent so far is here; False: it was lost."""
        with self._changed:
            self._rung += 1
            wanted = self._rung
            with contextlib.suppress(OSError):
                self._rope.send(b".")
            self._changed.wait_for(lambda: self._closed or self._drained >= wanted, _SETTLE_TIMEOUT)
            return self._drained >= wanted

    def close(self) -> None:
        """Stop receiving; whoever waits gets what is there."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._changed.notify_all()
            with contextlib.suppress(OSError):
                self._rope.send(b".")
        self._thread.join(2)
        self._rope.close()
        self.path.unlink(missing_ok=True)

    def _take(self, source: str) -> tuple[Evidence, ...]:
        return tuple(
            replace(record, filter_chain=_named(record)) for record in self._records.pop(source, ())
        )

    def _complete(self, source: str, known: tuple[Evidence, ...]) -> bool:
        records = (*known, *self._records.get(source, ()))
        kinds = {record.kind for record in records}
        return "connection" in kinds and ("http" in kinds or not any(map(_speaks_http, records)))

    def _run(self) -> None:
        """Read every connection in turn, in one thread: rounds have an end that can be waited for.

        A round that begins after the bell has been rung, and that finds nothing to read, has seen
        all that was there when it rang.
        """
        with selectors.DefaultSelector() as selector, contextlib.ExitStack() as open_sockets:
            for opened in (self._listener, self._bell):
                open_sockets.enter_context(opened)
                selector.register(opened, selectors.EVENT_READ)
            rung = 0
            while not self._closed:
                if rung > self._drained:
                    ready = selector.select(0)
                    if not ready:
                        with self._changed:
                            self._drained = rung
                            self._changed.notify_all()
                        continue
                else:
                    ready = selector.select()
                for key, _ in ready:
                    if key.fileobj is self._listener:
                        self._accept(selector, open_sockets)
                    elif key.fileobj is self._bell:
                        self._bell.recv(1 << 12)
                        with self._changed:
                            rung = self._rung
                    elif not self._read(key.fileobj, key.data):
                        selector.unregister(key.fileobj)

    def _accept(self, selector: selectors.BaseSelector, open_sockets: contextlib.ExitStack) -> None:
        import msgpack

        with contextlib.suppress(OSError):
            connection, _ = self._listener.accept()
            connection.setblocking(False)
            open_sockets.enter_context(connection)
            unpacker = msgpack.Unpacker(raw=False, strict_map_key=False)
            selector.register(connection, selectors.EVENT_READ, unpacker)

    def _read(self, connection: Any, unpacker: Any) -> bool:
        """Take what lies in a logger's connection; False when it has ended."""
        try:
            data = connection.recv(1 << 16)
        except BlockingIOError:
            return True
        except OSError:
            data = b""  # the proxy is gone
        if not data:
            connection.close()
            return False
        unpacker.feed(data)
        # Fluentd forward mode: [tag, [[time, record], ...]]
        for _tag, entries, *_options in unpacker:
            self._add([Evidence.from_record(self._fields(record)) for _time, record in entries])
        return True

    def _add(self, records: list[Evidence]) -> None:
        with self._changed:
            for record in records:
                self.troubled |= record.response_code >= 500 or bool(record.response_flags)
                self._records.setdefault(record.source, []).append(record)
            while len(self._records) > _KEEP:
                self._records.popitem(last=False)
            self._changed.notify_all()


def _named(record: Evidence) -> str:
    """The filter chain as istiod named it."""
    return "" if record.filter_chain == HTTP_CHAIN else record.filter_chain


def _speaks_http(record: Evidence) -> bool:
    """Whether a request's record comes as well: not where TLS has failed before it."""
    return record.filter_chain in _HTTP_CHAINS and not record.downstream_transport_failure_reason

"""The receiver of the proxy's access log: one Unix socket per proxy, one record per connection.

Envoy's fluentd access logger with a buffer of one byte sends each record the moment it is made,
which a file would do only milliseconds later.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

from pytest_egress.envoy.instruments import HTTP_CHAIN
from pytest_egress.evidence import Evidence

__all__ = ["Witness"]

_HTTP_CHAINS = {HTTP_CHAIN, "virtualOutbound-catchall-tcp-http"}  # the latter is istiod's
_KEEP = 10_000  # sources whose records nobody asked for: application traffic of a long run


class Witness:
    """Collects access-log records by their source address."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._changed = threading.Condition()
        self._records: OrderedDict[str, list[Evidence]] = OrderedDict()
        self._connections: set[socket.socket] = set()
        self._closed = False
        self._thread = threading.Thread(target=self._accept, name="egress-witness", daemon=True)
        self._thread.start()

    def wait(self, source: str, timeout: float) -> tuple[Evidence, ...]:
        """Return the records of ``source`` once they are complete.

        That is when its connection's own record is there and, where that one names a filter chain
        that speaks HTTP, a request's as well (each logger has a connection of its own, so they
        come in any order). When ``timeout`` seconds pass, what has come so far is returned.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            while not self._complete(source):
                left = deadline - time.monotonic()
                if left <= 0 or self._closed:
                    break
                self._changed.wait(left)
            records = self._records.pop(source, [])
        return tuple(
            replace(record, filter_chain="") if record.filter_chain == HTTP_CHAIN else record
            for record in records
        )

    def close(self) -> None:
        """Stop receiving; whoever waits gets what is there."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            connections = list(self._connections)
        # shutdown() wakes the threads that sit in accept() and recv(); close() alone does not.
        for endpoint in (self._listener, *connections):
            with contextlib.suppress(OSError):
                endpoint.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(2)
        self.path.unlink(missing_ok=True)

    def _complete(self, source: str) -> bool:
        records = self._records.get(source, ())
        kinds = {record.kind for record in records}
        return "connection" in kinds and (
            "http" in kinds or not any(record.filter_chain in _HTTP_CHAINS for record in records)
        )

    def _accept(self) -> None:
        readers = []
        while not self._closed:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                break  # closed
            with self._changed:
                self._connections.add(connection)
            reader = threading.Thread(target=self._read, args=(connection,), daemon=True)
            reader.start()
            readers.append(reader)
        for reader in readers:
            reader.join(2)

    def _read(self, connection: socket.socket) -> None:
        import msgpack

        unpacker = msgpack.Unpacker(raw=False, strict_map_key=False)
        with connection:
            while True:
                try:
                    data = connection.recv(1 << 16)
                except OSError:
                    break  # the proxy is gone
                if not data:
                    break
                unpacker.feed(data)
                # Fluentd forward mode: [tag, [[time, record], ...]]
                for _tag, entries, *_options in unpacker:
                    self._add([Evidence.from_record(record) for _time, record in entries])
        with self._changed:
            self._connections.discard(connection)

    def _add(self, records: list[Evidence]) -> None:
        with self._changed:
            for record in records:
                self._records.setdefault(record.source, []).append(record)
            while len(self._records) > _KEEP:
                self._records.popitem(last=False)
            self._changed.notify_all()

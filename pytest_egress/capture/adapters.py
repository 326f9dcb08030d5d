"""Libraries that do not use Python's sockets: led to the capture where they can be, else refused.

An adapter is applied to its module while something captures, also where the module is imported
meanwhile.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Protocol

from pytest_egress.capture.patches import Patch
from pytest_egress.errors import NativeLibraryError

__all__ = ["Adapters", "Host"]


class Host(Protocol):
    """What adapters ask of whoever captures at the moment."""

    def active(self) -> bool:
        """Whether something captures what the caller does."""
        ...

    def connect(self, sock: socket.socket, address: Any) -> bool:
        """Divert a socket; False if the address is none of the capture's."""
        ...

    def diverted(self, sock: socket.socket) -> bool:
        """Whether a socket leads to the proxy."""
        ...

    def takes(self, host: str) -> bool:
        """Whether a host, by name or address, is the capture's."""
        ...

    def relay(self, host: str, port: int) -> int:
        """The port on 127.0.0.1 that stands for a host and port."""
        ...


Build = Callable[[ModuleType, Host], list[Patch]]


def _uvloop(module: ModuleType, host: Host) -> list[Patch]:
    """The loop looks names up and connects in libuv; a connected socket it takes as it is."""
    loop = module.Loop
    connect, lookup = loop.create_connection, loop.getaddrinfo

    async def getaddrinfo(self: Any, name: Any, port: Any, **options: Any) -> Any:
        if not host.active():
            return await lookup(self, name, port, **options)
        return await self.run_in_executor(None, lambda: socket.getaddrinfo(name, port, **options))

    async def open_socket(self: Any, name: Any, port: Any, options: dict[str, Any]) -> Any:
        family, proto = options.get("family", 0), options.get("proto", 0)
        infos = await getaddrinfo(
            self, name, port, family=family, type=socket.SOCK_STREAM, proto=proto
        )
        if not host.takes(str(infos[0][4][0])):
            return None
        sock = socket.socket(infos[0][0], socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            host.connect(sock, infos[0][4])
        except BaseException:
            sock.close()
            raise
        return sock

    async def create_connection(
        self: Any, factory: Any, name: Any = None, port: Any = None, **options: Any
    ) -> Any:
        sock = options.get("sock")
        if sock is None and name is not None and host.active():
            sock = await open_socket(self, name, port, options)
            if sock is not None and options.get("ssl"):
                options["server_hostname"] = options.get("server_hostname") or name
        if sock is None or not host.diverted(sock):
            return await connect(self, factory, name, port, **options)
        # Under its own family libuv would ask it for TCP's options.
        unix = socket.socket(socket.AF_UNIX, fileno=sock.detach())
        known = ("ssl", "server_hostname", "ssl_handshake_timeout", "ssl_shutdown_timeout")
        kept = {key: options[key] for key in known if options.get(key) is not None}
        return await self.create_unix_connection(factory, sock=unix, **kept)

    return [
        Patch(loop, "getaddrinfo", getaddrinfo),
        Patch(loop, "create_connection", create_connection),
    ]


def _aiohttp(module: ModuleType, host: Host) -> list[Patch]:
    """The client asks c-ares where aiodns is installed: the capture's answer is Python's."""
    resolver = getattr(module, "AsyncResolver", None)
    if resolver is None:
        return []
    ask = resolver.resolve

    async def resolve(self: Any, name: str, port: int = 0, family: int = socket.AF_INET) -> Any:
        if not host.active():
            return await ask(self, name, port, family)
        threaded: Any = module.ThreadedResolver()
        return await threaded.resolve(name, port, family)

    return [Patch(resolver, "resolve", resolve)]


def _psycopg(module: ModuleType, host: Host) -> list[Patch]:
    """The driver's libpq connects in native code: to a relay, under the real name."""
    attempts = module.conninfo_attempts

    def conninfo_attempts(*args: Any) -> Any:
        return [_through_relay(attempt, host) for attempt in attempts(*args)]

    return [Patch(module, "conninfo_attempts", conninfo_attempts)]


def _psycopg_async(module: ModuleType, host: Host) -> list[Patch]:
    attempts = module.conninfo_attempts_async

    async def conninfo_attempts_async(*args: Any) -> Any:
        return [_through_relay(attempt, host) for attempt in await attempts(*args)]

    return [Patch(module, "conninfo_attempts_async", conninfo_attempts_async)]


def _psycopg2(module: ModuleType, host: Host) -> list[Patch]:
    connect = module._connect  # noqa: SLF001 - the one door to libpq

    def through(dsn: str, *args: Any, **options: Any) -> Any:
        if host.active():
            from psycopg2.extensions import (  # type: ignore[import-not-found,import-untyped,unused-ignore]
                make_dsn,
                parse_dsn,
            )

            parameters = parse_dsn(dsn)
            try:
                dsn = make_dsn(**_through_relay(parameters, host))
            except OSError:
                raise module.OperationalError(
                    f'could not translate host name "{parameters.get("host")}" to address: '
                    "Name or service not known\n"
                ) from None
        return connect(dsn, *args, **options)

    return [Patch(module, "_connect", through)]


def _through_relay(parameters: Mapping[str, Any], host: Host) -> dict[str, Any]:
    """The connection parameters of libpq with a relay's address in place of the outside's."""
    import os

    changed = dict(parameters)
    name = str(changed.get("host") or os.environ.get("PGHOST") or "")
    address = str(changed.get("hostaddr") or "")
    target = address or name
    if not host.active() or not target or target.startswith(("/", "@")) or not host.takes(target):
        return changed
    port = int(changed.get("port") or os.environ.get("PGPORT") or 5432)
    changed.update(host=name or address, hostaddr="127.0.0.1", port=host.relay(target, port))
    # libpq compares certificates with the host's name: it stays.
    return changed


def _refuse(*doors: tuple[str, Callable[..., str]], library: str) -> Build:
    """Refuse what a native library would connect to; loopback and what is excluded may pass."""

    def build(module: ModuleType, host: Host) -> list[Patch]:
        patches = []
        for path, target_of in doors:
            owner: Any = module
            *parents, name = path.split(".")
            for parent in parents:
                owner = getattr(owner, parent, None)
            before = getattr(owner, name, None)
            if before is not None:
                patches.append(Patch(owner, name, _refusing(before, target_of, library, host)))
        return patches

    return build


def _refusing(
    before: Callable[..., Any], target_of: Callable[..., str], library: str, host: Host
) -> Callable[..., Any]:
    def refused(*args: Any, **options: Any) -> Any:
        if host.active():
            target = target_of(*args, **options)
            if target and host.takes(target):
                raise NativeLibraryError(
                    f"{library} connects to {target} in native code, which a capture in this "
                    "process cannot lead through the proxy: leave the host out "
                    "(exclude=[...]), or run the program behind the proxy as a whole"
                )
        return before(*args, **options)

    return refused


def _host_of(text: Any) -> str:
    """The host of ``host:port``, ``dns:///host:port`` and the like; empty for a Unix socket."""
    target = str(text)
    if target.startswith(("unix:", "unix-abstract:", "/")):
        return ""
    target = target.rpartition("/")[2]
    if target.startswith(("ipv4:", "dns:")):
        target = target.partition(":")[2]
    host, colon, port = target.rpartition(":")
    return (host if colon and port.isdigit() else target).strip("[]")


def _first(target: Any = "", *_: Any, **__: Any) -> str:
    return _host_of(target)


def _second(_: Any, target: Any = "", *__: Any, **___: Any) -> str:
    return _host_of(target)


def _named(*_: Any, host: Any = "", **__: Any) -> str:
    return "" if str(host).startswith("/") else str(host)


_CHANNELS = (("insecure_channel", _first), ("secure_channel", _first))
_ADAPTERS: Mapping[str, Build] = {
    "uvloop": _uvloop,
    "aiohttp.resolver": _aiohttp,
    "psycopg.connection": _psycopg,
    "psycopg.connection_async": _psycopg_async,
    "psycopg2": _psycopg2,
    "grpc": _refuse(*_CHANNELS, library="grpcio"),
    "grpc.aio": _refuse(*_CHANNELS, library="grpcio"),
    "pycares": _refuse(
        ("Channel.query", _second),
        ("Channel.search", _second),
        ("Channel.getaddrinfo", _second),
        ("Channel.gethostbyname", _second),
        library="pycares (aiodns)",
    ),
    "MySQLdb": _refuse(("connect", _named), library="mysqlclient"),
    "pymssql": _refuse(("connect", _named), library="pymssql"),
    "confluent_kafka": _refuse(
        ("Producer.__init__", lambda *_, **__: "a broker"),
        ("Consumer.__init__", lambda *_, **__: "a broker"),
        library="confluent-kafka (librdkafka)",
    ),
}


class Adapters(importlib.abc.MetaPathFinder):
    """Applies the adapters of what is imported, now and later, and takes them away again."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._installed: list[Patch] = []
        self._finding: set[str] = set()

    def install(self) -> None:
        """Apply the adapters of the modules that are there; watch for the others."""
        for name in _ADAPTERS:
            module = sys.modules.get(name)
            if module is not None:
                self._apply(name, module)
        sys.meta_path.insert(0, self)

    def remove(self) -> None:
        """Leave every module as it was. Twice is once."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        while self._installed:
            self._installed.pop().remove()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a module that has an adapter, found by the others, to be adapted."""
        del path, target
        if fullname not in _ADAPTERS or fullname in self._finding:
            return None
        self._finding.add(fullname)
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._finding.discard(fullname)
        if spec is not None and spec.loader is not None:
            self._adapt_after(spec.loader, fullname)
        return spec

    def _adapt_after(self, loader: Any, name: str) -> None:
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            if self in sys.meta_path:
                self._apply(name, module)

        loader.exec_module = exec_module

    def _apply(self, name: str, module: ModuleType) -> None:
        for patch in _ADAPTERS[name](module, self._host):
            patch.install()
            self._installed.append(patch)

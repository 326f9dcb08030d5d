"""Checks what a test tells an upstream: each value as it is used, or a ValueError that says why."""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pytest_egress.upstream.application import WsgiApplication, kind_of
from pytest_egress.upstream.conduct import Answering
from pytest_egress.upstream.names import check_host, check_port

__all__ = [
    "answering_of",
    "as_bytes",
    "check_authorities",
    "check_choice",
    "check_headers",
    "check_names",
    "check_seconds",
    "check_server",
    "check_status",
    "check_times",
]

_SERVERS = (
    "expected '127.0.0.1:8080', (host, port), a server with .host and .port, a WSGI or ASGI "
    "application, or the path of VCR cassettes"
)
_COMPUTED = {"content-length", "transfer-encoding", "x-egress-upstream"}


def check_choice(what: str, value: object, choices: Iterable[str]) -> None:
    """Require ``value`` to be one of ``choices``; the error names the nearest of them."""
    known = list(choices)
    if value not in known:
        near = difflib.get_close_matches(str(value).lower(), [item.lower() for item in known], n=1)
        spelled = next((item for item in known if near and item.lower() == near[0]), None)
        hint = f"; did you mean {spelled!r}?" if spelled else ""
        raise ValueError(f"expected {what}, one of {', '.join(known)}; got {value!r}{hint}")


def check_times(times: object) -> int:
    """Return how many times something is to hold."""
    if isinstance(times, int) and not isinstance(times, bool) and times > 0:
        return times
    raise ValueError(f"expected how many times, 1 or more, got {times!r}")


def check_seconds(seconds: object) -> float:
    """Return a duration."""
    if isinstance(seconds, (int, float)) and math.isfinite(seconds) and seconds >= 0:
        return float(seconds)
    raise ValueError(f"expected a number of seconds, 0 or more, got {seconds!r}")


def check_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return the hosts that a certificate is to be for."""
    if isinstance(names, str):
        raise ValueError(f"expected names such as ['api.example.com'], got {names!r}")  # noqa: TRY004
    return tuple(check_host(name) for name in names)


def check_authorities(path: str | Path) -> str:
    """Return the PEM in ``path``; its certificates can be loaded."""
    import ssl

    try:
        text = Path(path).read_text("ascii")
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=text)
    except (OSError, ValueError) as error:
        raise ValueError(f"expected a PEM file of certificates, got {path}: {error}") from None
    return text


def check_status(status: object) -> int:
    """Return the status of a final HTTP response."""
    if isinstance(status, int) and not isinstance(status, bool) and 200 <= status <= 599:
        return int(status)
    raise ValueError(f"expected an HTTP status between 200 and 599, got {status!r}")


def check_headers(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return the header fields of a response, none of which the outside computes."""
    fields = []
    for name, value in dict(headers).items():
        text = str(value).strip()
        usable = isinstance(name, str) and name and not set(name) & set(' \t\r\n:"(),/;<=>?@[]{}')
        if not usable or not name.isascii() or set(text) & set("\r\n\0"):
            raise ValueError(
                f"expected header fields such as {{'etag': '1'}}, got {name!r}: {value!r}"
            )
        if name.lower() in _COMPUTED:
            raise ValueError(f"{name!r} is set by the outside itself: expected other header fields")
        fields.append((name, text))
    return tuple(fields)


def as_bytes(data: bytes | str) -> bytes:
    """Return text as UTF-8, and bytes as they are."""
    return data.encode() if isinstance(data, str) else data


def answering_of(server: Any) -> Answering | None:
    """Return what answers in this process: an application or cassettes; None: ``server`` does."""
    if isinstance(server, os.PathLike) or (
        isinstance(server, str)
        and "://" not in server
        and (os.sep in server or Path(server).exists())
    ):
        from pytest_egress.upstream.cassette import read_cassettes

        return read_cassettes(Path(server))
    if isinstance(getattr(server, "port", None), int) or not callable(server):
        return None
    kind = kind_of(server)
    if not kind:
        raise ValueError(f"{_SERVERS}, got {server!r}, which takes the arguments of neither")
    if kind == "wsgi":
        return WsgiApplication(server)
    from pytest_egress.upstream.asgi import AsgiApplication

    return AsgiApplication(server)


def check_server(server: Any) -> tuple[str, int]:
    """Return the host and port of a server of the user's."""
    if isinstance(server, str):
        host, _, port = server.rpartition(":")
        if not host or not port.isdecimal() or "/" in host:
            raise ValueError(f"{_SERVERS}, got {server!r}")
        return host.removeprefix("[").removesuffix("]"), check_port(int(port))
    pair = server if isinstance(server, tuple) else _attributes(server)
    if len(pair) != 2 or not isinstance(pair[0], str):
        raise ValueError(f"{_SERVERS}, got {server!r}")
    return pair[0], check_port(pair[1])


def _attributes(server: object) -> tuple[object, object]:
    return getattr(server, "host", None), getattr(server, "port", None)

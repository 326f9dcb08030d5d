"""One GET by each HTTP client: application code that knows of no capture."""

from __future__ import annotations

import asyncio
import http.client
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Coroutine, Mapping
from typing import Any
from urllib.parse import urlsplit

__all__ = ["CLIENTS"]

Fetch = Callable[[str, float], int]


def _requests(url: str, timeout: float) -> int:
    import requests

    return requests.get(url, timeout=timeout).status_code


def _urllib(url: str, timeout: float) -> int:
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def _urllib3(url: str, timeout: float) -> int:
    import urllib3

    with urllib3.PoolManager(retries=False, timeout=timeout) as pool:
        return pool.request("GET", url).status


def _http_client(url: str, timeout: float) -> int:
    place = urlsplit(url)
    kind = http.client.HTTPSConnection if place.scheme == "https" else http.client.HTTPConnection
    connection = kind(str(place.hostname), place.port, timeout=timeout)
    try:
        connection.request("GET", place.path)
        return connection.getresponse().status
    finally:
        connection.close()


def _sockets(url: str, timeout: float) -> int:
    host, port, secure = _place(url)
    with socket.create_connection((host, port), timeout=timeout) as plain:
        if not secure:
            return _on_socket(plain, host)
        with ssl.create_default_context().wrap_socket(plain, server_hostname=host) as encrypted:
            return _on_socket(encrypted, host)


def _on_socket(connection: socket.socket, host: str) -> int:
    connection.sendall(_request(host))
    with connection.makefile("rb") as answer:
        return _status(answer.readline())


def _httpx(url: str, timeout: float) -> int:
    import httpx

    return int(httpx.get(url, timeout=timeout).status_code)


async def _httpx_async(url: str, timeout: float) -> int:
    import httpx

    async with httpx.AsyncClient(timeout=timeout) as client:
        return int((await client.get(url)).status_code)


def _httpx_h2(url: str, timeout: float) -> int:
    import httpx

    with httpx.Client(http2=True, timeout=timeout) as client:
        answer = client.get(url)
        assert answer.http_version == ("HTTP/2" if url.startswith("https:") else "HTTP/1.1")
        return int(answer.status_code)


async def _aiohttp(url: str, timeout: float) -> int:
    import aiohttp

    limit = aiohttp.ClientTimeout(total=timeout)
    async with aiohttp.ClientSession(timeout=limit) as session, session.get(url) as answer:
        return int(answer.status)


async def _streams(url: str, timeout: float) -> int:
    host, port, secure = _place(url)
    opening = asyncio.open_connection(host, port, ssl=True if secure else None)
    reader, writer = await asyncio.wait_for(opening, timeout)
    try:
        writer.write(_request(host))
        return _status(await asyncio.wait_for(reader.readline(), timeout))
    finally:
        writer.close()


async def _anyio(url: str, timeout: float) -> int:
    import anyio

    host, port, secure = _place(url)
    with anyio.fail_after(timeout):
        options = {"tls": True, "tls_standard_compatible": False} if secure else {}
        async with await anyio.connect_tcp(host, port, **options) as stream:
            await stream.send(_request(host))
            return _status(await stream.receive())


async def _trio(url: str, timeout: float) -> int:
    import trio

    host, port, secure = _place(url)
    with trio.fail_after(timeout):
        stream: Any = await trio.open_tcp_stream(host, port)
        if secure:
            context = ssl.create_default_context()
            stream = trio.SSLStream(stream, context, server_hostname=host, https_compatible=True)
        async with stream:
            await stream.send_all(_request(host))
            return _status(await stream.receive_some())


def _place(url: str) -> tuple[str, int, bool]:
    place = urlsplit(url)
    secure = place.scheme == "https"
    return str(place.hostname), place.port or (443 if secure else 80), secure


def _request(host: str) -> bytes:
    return f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()


def _status(line: bytes) -> int:
    if not line:
        raise EOFError
    return int(line.split()[1])


def _on_asyncio(fetch: Callable[[str, float], Coroutine[Any, Any, int]]) -> Fetch:
    return lambda url, timeout: asyncio.run(fetch(url, timeout))


def _on_uvloop(fetch: Callable[[str, float], Coroutine[Any, Any, int]]) -> Fetch:
    def run(url: str, timeout: float) -> int:
        import uvloop

        return int(uvloop.run(fetch(url, timeout)))

    return run


def _on_trio(fetch: Callable[[str, float], Coroutine[Any, Any, int]]) -> Fetch:
    def run(url: str, timeout: float) -> int:
        import trio

        return int(trio.run(fetch, url, timeout))

    return run


CLIENTS: Mapping[str, Fetch] = {
    "requests": _requests,
    "urllib": _urllib,
    "urllib3": _urllib3,
    "http.client": _http_client,
    "socket": _sockets,
    "httpx": _httpx,
    "httpx-async": _on_asyncio(_httpx_async),
    "httpx-trio": _on_trio(_httpx_async),
    "httpx-h2": _httpx_h2,
    "aiohttp": _on_asyncio(_aiohttp),
    "asyncio": _on_asyncio(_streams),
    "anyio": _on_asyncio(_anyio),
    "anyio-trio": _on_trio(_anyio),
    "trio": _on_trio(_trio),
    "uvloop": _on_uvloop(_streams),
    "uvloop-aiohttp": _on_uvloop(_aiohttp),
    "uvloop-httpx": _on_uvloop(_httpx_async),
    "uvloop-anyio": _on_uvloop(_anyio),
}

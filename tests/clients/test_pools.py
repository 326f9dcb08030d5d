"""Clients that are made before any capture and outlive several: their contexts, pools, sessions."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

import pytest
import requests

from pytest_egress.egress import Egress

URL = "https://up.example.com/"
Get = Callable[[], int]


@contextmanager
def _requests() -> Iterator[Get]:
    with requests.Session() as session:
        yield lambda: session.get(URL, timeout=20).status_code


@contextmanager
def _urllib3() -> Iterator[Get]:
    import urllib3

    with urllib3.PoolManager(ssl_context=ssl.create_default_context(), retries=False) as pool:
        yield lambda: pool.request("GET", URL, timeout=20).status


@contextmanager
def _httpx() -> Iterator[Get]:
    import httpx

    with httpx.Client(timeout=20) as client:
        yield lambda: int(client.get(URL).status_code)


@contextmanager
def _httpx_h2() -> Iterator[Get]:
    import httpx

    with httpx.Client(http2=True, timeout=20) as client:
        yield lambda: int(client.get(URL).status_code)


@contextmanager
def _on_a_loop(loop: asyncio.AbstractEventLoop) -> Iterator[asyncio.AbstractEventLoop]:
    try:
        yield loop
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


@contextmanager
def _aiohttp() -> Iterator[Get]:
    import aiohttp

    async def get() -> int:
        async with session.get(URL, timeout=aiohttp.ClientTimeout(20)) as answer:
            await answer.read()
            return int(answer.status)

    async def make() -> aiohttp.ClientSession:
        return aiohttp.ClientSession()

    with _on_a_loop(asyncio.new_event_loop()) as loop:
        session = loop.run_until_complete(make())
        yield lambda: loop.run_until_complete(get())
        loop.run_until_complete(session.close())


@contextmanager
def _httpx_async() -> Iterator[Get]:
    import httpx

    async def get() -> int:
        return int((await client.get(URL)).status_code)

    with _on_a_loop(asyncio.new_event_loop()) as loop:
        client = httpx.AsyncClient(timeout=20)
        yield lambda: loop.run_until_complete(get())
        loop.run_until_complete(client.aclose())


@contextmanager
def _uvloop() -> Iterator[Get]:
    import httpx
    import uvloop

    async def get() -> int:
        return int((await client.get(URL)).status_code)

    with _on_a_loop(uvloop.new_event_loop()) as loop:
        client = httpx.AsyncClient(timeout=20)
        yield lambda: loop.run_until_complete(get())
        loop.run_until_complete(client.aclose())


CLIENTS = [_requests, _urllib3, _httpx, _httpx_h2, _aiohttp, _httpx_async, _uvloop]


@pytest.mark.parametrize("made", CLIENTS, ids=lambda made: made.__name__.strip("_"))
def test_client_outlives_captures(
    pods: Mapping[str, Egress], made: Callable[[], AbstractContextManager[Get]]
) -> None:
    """Each capture has its call; the contract of each is what holds."""
    pod = pods["REGISTRY_ONLY"]
    other = pod.without("up.example.com")
    kept = made is _httpx_h2  # one connection of HTTP/2 goes on
    with made() as get:
        for hosts in ({"up.example.com"}, set() if kept else {"up.example.com"}):
            with pod.capture() as calls:
                assert get() == 200
                assert get() == 200
            assert calls.reachable.hosts == hosts
        # Each library raises its own; one that keeps a connection may have to find it closed first.
        with other.capture(on_blocked="allow") as calls:
            for _ in range(2):
                with pytest.raises(Exception):  # noqa: B017, PT011
                    get()
        assert calls.blocked.hosts == {"up.example.com"}
    pod.close()


def test_what_trusts_the_ca_afterwards(pods: Mapping[str, Egress]) -> None:
    """A context that was there and was used in the capture; nothing that is made later."""
    pod = pods["REGISTRY_ONLY"]
    used, unused = ssl.create_default_context(), ssl.create_default_context()
    before = used.cert_store_stats()["x509_ca"]
    with (
        pod.capture(),
        socket.create_connection(("up.example.com", 443), 20) as plain,
        used.wrap_socket(plain, server_hostname="up.example.com"),
    ):
        inside = ssl.create_default_context()
    assert used.cert_store_stats()["x509_ca"] == before + 1
    assert inside.cert_store_stats()["x509_ca"] == 1  # SSL_CERT_FILE names the outside's alone
    assert unused.cert_store_stats()["x509_ca"] == before
    assert ssl.create_default_context().cert_store_stats()["x509_ca"] == before

"""One exchange by each database client: application code that knows of no capture."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

__all__ = ["CLIENTS"]


def _redis(url: str, timeout: float) -> str:
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    host, port, secure = _place(url)
    client = redis.Redis(
        host, port, ssl=secure, socket_timeout=timeout, retry=Retry(NoBackoff(), 0)
    )
    with client:
        return str(client.ping())


def _pymongo(url: str, timeout: float) -> str:
    import pymongo

    host, port, secure = _place(url)
    milliseconds = int(timeout * 1000)
    client: pymongo.MongoClient[dict[str, object]] = pymongo.MongoClient(
        host,
        port,
        tls=secure,
        directConnection=True,
        connectTimeoutMS=milliseconds,
        serverSelectionTimeoutMS=min(milliseconds, 3000),
    )
    with client:
        return str(client.admin.command("ping")["ok"])


def _psycopg(url: str, timeout: float) -> str:
    import psycopg

    with psycopg.connect(_conninfo(url, timeout), autocommit=True) as connection:
        row = connection.execute("SELECT 1").fetchone()
        return str(row and row[0])


async def _psycopg_async_body(url: str, timeout: float) -> str:
    import psycopg

    connection = await psycopg.AsyncConnection.connect(_conninfo(url, timeout), autocommit=True)
    async with connection:
        row = await (await connection.execute("SELECT 1")).fetchone()
        return str(row and row[0])


def _psycopg_async(url: str, timeout: float) -> str:
    import asyncio

    return asyncio.run(_psycopg_async_body(url, timeout))


def _psycopg2(url: str, timeout: float) -> str:
    import psycopg2

    connection = psycopg2.connect(_conninfo(url, timeout))
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            return str(cursor.fetchone()[0])
    finally:
        connection.close()


def _place(url: str) -> tuple[str, int, bool]:
    place = urlsplit(url)
    return str(place.hostname), place.port or 0, place.scheme == "tls"


def _conninfo(url: str, timeout: float) -> str:
    host, port, secure = _place(url)
    mode = "verify-full sslrootcert=system" if secure else "disable"
    parts = (f"host={host}", f"port={port}", "user=app", "dbname=app", "gssencmode=disable")
    return " ".join((*parts, f"sslmode={mode}", f"connect_timeout={max(2, int(timeout))}"))


CLIENTS: Mapping[str, Callable[[str, float], str]] = {
    "redis": _redis,
    "pymongo": _pymongo,
    "psycopg": _psycopg,
    "psycopg-async": _psycopg_async,
    "psycopg2": _psycopg2,
}

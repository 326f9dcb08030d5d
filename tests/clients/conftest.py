"""The matrix's pods and its outside; run only where the client libraries are installed."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pytest_egress.backends.local import LocalBackend
from pytest_egress.contract import loads
from pytest_egress.egress import Egress
from pytest_egress.upstream import Upstreams
from pytest_egress.upstream.conduct import Certificate
from tests.clients import servers
from tests.clients.situations import CONTRACT, script

LIBRARIES = ["h2", "httpx", "aiohttp", "aiodns", "uvloop", "anyio", "trio", "grpc", "grpc_health"]
LIBRARIES += ["pytest_asyncio", "pytest_randomly", "pytest_socket", "pytest_timeout"]
LIBRARIES += ["responses", "respx", "vcr", "redis", "pymongo", "psycopg", "psycopg2"]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the matrix out where a library is missing, but for `tox -e clients`: there it fails."""
    if "EGRESS_CLIENTS" in os.environ or all(map(importlib.util.find_spec, LIBRARIES)):
        return
    left_out = [item for item in items if Path(__file__).parent in item.path.parents]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


@pytest.fixture(scope="module")
def upstreams(backend: LocalBackend) -> Iterator[Upstreams]:
    """The outside, each host doing what its name says; the databases are real servers."""
    speaking = {5432: servers.Postgres, 6379: servers.Redis, 27017: servers.Mongo}
    with backend.upstreams() as scripts, ExitStack() as running:
        script(scripts)
        for host in ("up.db.example.com", "secure.example", "wrong.db.example.com", "evil.example"):
            kind: Certificate = "wrong-name" if host.startswith("wrong.") else "valid"
            for port, handler in speaking.items():
                # PostgreSQL begins in plain text and has to do its TLS itself.
                own = port == 5432
                context = backend.outside._authority.context((host,), kind) if own else None
                secure = not own and host in {"secure.example", "wrong.db.example.com"}
                server = running.enter_context(servers.serving(handler, context))
                scripts[host, port].to(server, tls_terminate=secure).certificate(kind)
        yield scripts


@pytest.fixture(scope="module")
def pods(backend: LocalBackend, upstreams: Upstreams) -> dict[str, Egress]:
    """A pod under the contract, by the mesh's policy."""
    pod = Egress(backend, loads(CONTRACT), test="the test")
    return {policy: pod.with_policy(policy) for policy in ("REGISTRY_ONLY", "ALLOW_ANY")}

"""Every client in every situation: what it raises, what the log says, and that a sidecar agrees."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping

import pytest

from pytest_egress.egress import Egress
from pytest_egress.verdict import Verdict
from tests.clients import database_clients, http_clients
from tests.clients.endings import ending
from tests.clients.situations import DATABASES, WEB, Situation

# What a library leaves unclosed when it is cut off is its own.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
PORTS = {"redis": 6379, "pymongo": 27017}
# Refused by the mesh or dead, timed out, wrong name, no address: what each library makes of it
# where the connection is encrypted. Plain HTTP has Envoy's 502 and 503 in place of the first.
_RAW = ("ConnectionResetError", "TimeoutError", "SSLCertVerificationError", "gaierror")
_HTTPX = ("ConnectError", "ReadTimeout", "ConnectError", "ConnectError")
_ANYIO = ("BrokenResourceError", "TimeoutError", "SSLCertVerificationError", "gaierror")
_AIOHTTP = (
    "ClientConnectorError",
    "TimeoutError",
    "ClientConnectorCertificateError",
    "ClientConnectorDNSError",
)
RAISED: Mapping[str, tuple[str, str, str, str]] = {
    "requests": ("ConnectionError", "ReadTimeout", "SSLError", "ConnectionError"),
    "urllib": ("URLError", "TimeoutError", "URLError", "URLError"),
    "urllib3": ("ProtocolError", "ReadTimeoutError", "SSLError", "NameResolutionError"),
    "http.client": _RAW,
    "socket": _RAW,
    "httpx": _HTTPX,
    "httpx-async": _HTTPX,
    "httpx-trio": _HTTPX,
    "httpx-h2": _HTTPX,
    "aiohttp": _AIOHTTP,
    "asyncio": _RAW,
    "anyio": _ANYIO,
    "anyio-trio": _ANYIO,
    "trio": ("BrokenResourceError", "TooSlowError", "BrokenResourceError", "gaierror"),
    "uvloop": _RAW,
    "uvloop-aiohttp": _AIOHTTP,
    "uvloop-httpx": _HTTPX,
    "uvloop-anyio": _ANYIO,
    "redis": ("ConnectionError", "TimeoutError", "ConnectionError", "ConnectionError"),
    "pymongo": ("ServerSelectionTimeoutError",) * 4,
    "psycopg": ("OperationalError", "ConnectionTimeout", "OperationalError", "OperationalError"),
    "psycopg-async": (
        "OperationalError",
        "ConnectionTimeout",
        "OperationalError",
        "OperationalError",
    ),
    "psycopg2": ("OperationalError",) * 4,
}
ANSWERS = {"redis": "True", "pymongo": "1.0", "psycopg": "1", "psycopg-async": "1", "psycopg2": "1"}
SITUATIONS_OF = {
    **dict.fromkeys(http_clients.CLIENTS, WEB),
    **dict.fromkeys(database_clients.CLIENTS, DATABASES),
}


def call_of(client: str, situation: Situation) -> tuple[str, str, float]:
    """The call of a client in a situation."""
    port = "" if client in http_clients.CLIENTS else f":{PORTS.get(client, 5432)}"
    return client, f"{situation.scheme}://{situation.host}{port}/", situation.timeout


def expected(client: str, name: str) -> str:
    """How a call ends: an answer, or the exception's own name."""
    what, plain = name.rpartition(" ")[2], name.startswith("http ")
    if what in {"reachable", "undeclared", "tls"}:
        return ANSWERS.get(client, "200")
    if plain and what in {"blocked", "dead"}:
        return "502" if what == "blocked" else "503"
    refused, slow, wrong, unresolved = RAISED[client]
    by_name = {"blocked": refused, "dead": refused, "slow": slow, "wrong-name": wrong}
    return by_name.get(what, unresolved)


@pytest.mark.parametrize(
    ("client", "name"), [(client, name) for client, of in SITUATIONS_OF.items() for name in of]
)
def test_client_in_situation(pods: Mapping[str, Egress], client: str, name: str) -> None:
    """It raises what its users know, and every call has the right host and verdict."""
    situation = SITUATIONS_OF[client][name]
    with pods[situation.policy].capture(on_blocked="allow") as calls:
        ended = ending(*call_of(client, situation))
    assert ended.rpartition(".")[2] == expected(client, name) or ended == expected(client, name)
    verdict = situation.verdict
    if name == "wrong-name" and client.startswith("psycopg"):
        # The TLS begins inside PostgreSQL's own protocol, where the mesh sees a TCP connection.
        verdict = Verdict.REACHABLE
    assert calls
    assert {(call.host, call.verdict) for call in calls} == {(situation.host, verdict)}, calls


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="network namespaces are Linux's")
@pytest.mark.parametrize("client", SITUATIONS_OF)
def test_the_kernel_s_capture_ends_alike(pods: Mapping[str, Egress], client: str) -> None:
    """The same code as a program, unpatched and redirected by the kernel as beside a sidecar."""
    for policy, pod in pods.items():
        names = [n for n, it in SITUATIONS_OF[client].items() if it.policy == policy]
        calls = [call_of(client, SITUATIONS_OF[client][name]) for name in names]
        with pod.capture(on_blocked="allow"):
            inside = [ending(*call) for call in calls]
        command = [sys.executable, "-m", "tests.clients"]
        done = pod.run(command, input=json.dumps(calls), on_blocked="allow", check=True)
        assert dict(zip(names, json.loads(done.stdout), strict=True)) == dict(
            zip(names, inside, strict=True)
        )

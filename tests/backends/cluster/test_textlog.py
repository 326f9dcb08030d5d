"""Istio's own access log, read into evidence."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from queue import Queue

import pytest

from pytest_egress.backends.cluster.log_witness import LogWitness
from pytest_egress.backends.cluster.textlog import read_line
from pytest_egress.envoy.instruments import fields_of
from pytest_egress.evidence import Evidence

HTTP = (
    '[2026-11-25T17:00:00.000Z] "GET /v1?q=a b HTTP/1.1" 200 - via_upstream - "-" 0 12 3 2 "-" '
    '"curl/8.0 (x)" "5c1b-7" "api.example.com" "198.18.0.1:80" '
    "outbound|80||api.example.com 10.244.0.9:40000 198.18.0.1:80 10.244.0.9:39999 - default"
)
BLOCKED = (
    '[2026-11-25T17:00:00.000Z] "GET / HTTP/1.1" 502 - direct_response - "-" 0 0 0 - "-" '
    '"-" "5c1b-8" "evil.example" "-" - - 198.18.0.2:80 10.244.0.9:39998 - block_all'
)
TCP = (
    '[2026-11-25T17:00:00.000Z] "- - -" 0 UH - - "-" 0 0 0 - "-" "-" "-" "-" "-" '
    "BlackHoleCluster - 198.18.0.2:443 10.244.0.9:39997 evil.example -"
)


def _read(line: str) -> Evidence:
    record = read_line(line)
    assert record is not None
    return Evidence.from_record(fields_of(record))


def test_request() -> None:
    """Text, in the order of Istio's default."""
    evidence = _read(HTTP)
    assert (evidence.kind, evidence.source) == ("http", "10.244.0.9:39999")
    assert (evidence.method, evidence.path) == ("GET", "/v1?q=a b")
    assert evidence.cluster == "outbound|80||api.example.com"
    assert evidence.upstream_local_address == "10.244.0.9:40000"
    assert evidence.upstream_host == "198.18.0.1:80"
    assert (evidence.response_code, evidence.response_flags) == (200, frozenset())
    assert evidence.route == "default"
    assert evidence.upstream_duration == pytest.approx(0.002)


def test_refused_request() -> None:
    """It has no cluster, and the route says who refused it."""
    evidence = _read(BLOCKED)
    assert evidence.cluster == ""
    assert evidence.route_of_istio == "block_all"
    assert evidence.authority == "evil.example"


def test_connection() -> None:
    """TCP and TLS: no request."""
    evidence = _read(TCP)
    assert evidence.kind == "connection"
    assert evidence.cluster == "BlackHoleCluster"
    assert evidence.requested_server_name == "evil.example"
    assert evidence.response_flags == {"UH"}
    assert evidence.destination == "198.18.0.2:443"


def test_json() -> None:
    """AccessLogEncoding JSON has the same operators by name."""
    told = {
        "method": "GET",
        "path": "/v1",
        "response_code": 200,
        "response_flags": "-",
        "response_code_details": "via_upstream",
        "upstream_cluster": "outbound|80||api.example.com",
        "upstream_host": "198.18.0.1:80",
        "upstream_local_address": "10.244.0.9:40000",
        "downstream_local_address": "198.18.0.1:80",
        "downstream_remote_address": "10.244.0.9:39999",
        "route_name": "default",
        "authority": "api.example.com",
        "upstream_service_time": None,
    }
    evidence = _read(json.dumps(told))
    assert (evidence.kind, evidence.source) == ("http", "10.244.0.9:39999")
    assert evidence.cluster == "outbound|80||api.example.com"
    assert evidence.upstream_duration is None


@pytest.mark.parametrize(
    "line",
    [
        "",
        "2026-11-25T17:00:00Z\tinfo\tEnvoy proxy is ready",
        '{"level": "info"}',
        "{broken",
        HTTP.replace(" default", ""),
        "[2026] GET / 200",
    ],
)
def test_other_lines_are_no_records(line: str) -> None:
    """Another format proves nothing, and is not guessed at."""
    assert read_line(line) is None


def test_records_are_waited_for() -> None:
    """Each is given once; the end of the log is no end of the witness."""
    lines: Queue[str] = Queue()
    opened = threading.Semaphore(0)

    def follow() -> tuple[Iterator[str], Callable[[], None]]:
        opened.release()
        return iter(lines.get, "end"), lambda: lines.put("end")

    witness = LogWitness(follow, fields_of)
    opened.acquire()
    assert witness.wait("10.244.0.9:39997", 0.01) == ()
    lines.put(BLOCKED)
    (record,) = witness.wait("10.244.0.9:39998", 30)
    assert record.authority == "evil.example"
    passed = [witness.passed]
    lines.put("end")
    opened.acquire()
    lines.put(HTTP)
    assert witness.wait("10.244.0.9:39999", 30)
    passed.append(witness.passed)
    assert passed == [False, True]
    assert witness.take("10.244.0.9:39999") == ()
    witness.close()

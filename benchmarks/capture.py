"""What a capture costs: each connection, each request, each test with the marker.

Captured calls stand beside the same calls through the mesh's own socket without any patch, and
beside bare calls on loopback to the same responder. Goals: at most 0.5 ms for each connection that
the capture leads to the proxy, at most 10 % for each request on a kept connection, at most 1 ms for
each test with the marker.
"""

from __future__ import annotations

import _socket
import socket
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _measure import contract, machine, median_ms, paired, timed

from pytest_egress import Egress, LocalBackend, loads
from pytest_egress.probe import DnsResolver

ROUNDS = 400
TESTS = 1000
RUNS = 3
ENTRY = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api}
spec:
  hosts: [api.example.com]
  location: MESH_EXTERNAL
  resolution: DNS
  ports: [{number: 80, name: http, protocol: HTTP}]
"""
REQUEST = b"GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n"
SUITE = """
import pytest

{mark}
@pytest.mark.parametrize("number", range({tests}))
def test_empty(number): pass
"""


def exchange(connection: Any) -> None:
    """One request and its answer, as short as the outside makes it."""
    connection.sendall(REQUEST)
    answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 200"), answer


def unpatched(place: tuple[str, int]) -> socket.socket:
    """A connection that no capture sees: its methods are those below Python's class."""
    connection = socket.socket()
    connection.settimeout(5)
    _socket.socket.connect(connection, place)
    return connection


def connect_and_exchange(dial: Callable[[], Any]) -> None:
    """One request on a connection of its own."""
    connection = dial()
    try:
        exchange(connection)
    finally:
        connection.close()


def told(what: str, ways: dict[str, list[float]], base: str) -> None:
    """Print the medians of the ways, and what each is of the base's."""
    for name, samples in ways.items():
        ratio = statistics.median(samples) / statistics.median(ways[base])
        print(f"{what}, {name:11}  {median_ms(samples)}  {ratio:.2f}x of {base}")


def connections() -> None:
    """Time the three ways in turn, so that load hits all of them alike."""
    backend = LocalBackend()
    try:
        pod = Egress(backend, loads(ENTRY))
        address = pod.resolve("api.example.com").addresses[0]
        answer = DnsResolver(backend.outside.proxy_dns).lookup("api.example.com", "A", 5)
        place = (answer.addresses[0], backend.outside.port_for(80))
        dials: dict[str, Callable[[], Any]] = {
            "bare": lambda: unpatched(place),
            "mesh socket": lambda: pod.mesh.dial(address, 80, 5),
            "captured": lambda: socket.create_connection((address, 80), timeout=5),
        }
        fresh: dict[str, list[float]] = {name: [] for name in dials}
        kept: dict[str, list[float]] = {name: [] for name in dials}
        with pod.capture():
            held = {name: dial() for name, dial in dials.items()}
            for number in range(ROUNDS + 20):
                for name, dial in dials.items():
                    first = timed(lambda dial=dial: connect_and_exchange(dial))
                    again = timed(lambda one=held[name]: exchange(one))
                    if number >= 20:
                        fresh[name].append(first)
                        kept[name].append(again)
            for connection in held.values():
                connection.close()
    finally:
        backend.close()
    told("new connection ", fresh, "mesh socket")
    medians = {name: statistics.median(samples) for name, samples in fresh.items()}
    added = (medians["captured"] - medians["mesh socket"]) * 1e3
    print(f"added by the capture to a new connection  {added:.2f} ms (goal: 0.5)")
    told("kept connection", kept, "mesh socket")


def markers() -> None:
    """Time 1,000 tests with the marker and the same without, as whole processes."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "egress.yaml").write_text(contract(10))
        Path(directory, "pytest.ini").write_text("[pytest]\negress_contract = egress.yaml\n")
        for name, mark in (("bare", ""), ("marked", "@pytest.mark.egress_captured")):
            Path(directory, f"test_{name}.py").write_text(SUITE.format(mark=mark, tests=TESTS))
        pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        bare, marked = paired(
            [*pytest, "test_bare.py"], [*pytest, "test_marked.py"], RUNS, directory
        )
    each = (statistics.median(marked) - statistics.median(bare)) / TESTS
    print(f"{TESTS} tests                {median_ms(bare)}")
    print(f"{TESTS} tests, with marker   {median_ms(marked)}")
    print(f"one test with the marker  {each * 1e3:.2f} ms, the proxy's start included (goal: 1)")


if __name__ == "__main__":
    print(machine())
    connections()
    markers()

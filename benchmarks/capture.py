"""What a capture costs: each connection, each request, each test with the marker.

Captured calls stand beside the same calls through the mesh's own socket without any patch, and
beside bare calls on loopback to the same responder: what the capture adds, and what the real Envoy
in between takes. Goals: at most 0.5 ms for each connection and at most 10 % for each request on a
kept connection, of the capture's own; at most 1 ms for each test with the marker.
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

from _measure import Spent, contract, machine, median_ms, spent_by, timed

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

MARK
@pytest.mark.parametrize("number", range(TESTS))
def test_empty(number): pass
"""
# As the marker's: a backend for the run, a contract, the outside, the pod, the capture.
FIXTURES = """
import pytest

@pytest.fixture(scope="session")
def backend(pytestconfig): yield

@pytest.fixture
def contract(request): return

@pytest.fixture
def outside(backend): yield

@pytest.fixture
def pod(request, backend, contract, outside): yield

@pytest.fixture(autouse=True)
def captured(request, pod): yield
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


def told(what: str, ways: dict[str, list[float]], goal: str) -> None:
    """Print the medians of the ways, and what the proxy and the capture add to the bare call."""
    for name, samples in ways.items():
        print(f"{what}, {name:11}  {median_ms(samples)}")
    bare, mesh, captured = (statistics.median(samples) * 1e3 for samples in ways.values())
    print(
        f"{what}: the proxy adds {mesh - bare:.2f} ms, the capture {captured - mesh:.2f} ms "
        f"({(captured - mesh) / mesh:.0%}; goal: {goal})"
    )


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
    told("new connection ", fresh, "0.5 ms")
    told("kept connection", kept, "10 %")


def markers() -> None:
    """Run 1,000 tests with the marker, without, and with as many fixtures that do nothing.

    One test of each kind alone tells what the start of the run and of the proxy takes.
    """
    kinds = {
        "bare": SUITE,
        "fixtures": f"{FIXTURES}{SUITE}",
        "marked": SUITE.replace("MARK", "@pytest.mark.egress_captured"),
    }
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "egress.yaml").write_text(contract(10))
        Path(directory, "pytest.ini").write_text("[pytest]\negress_contract = egress.yaml\n")
        spent: dict[tuple[str, int], list[Spent]] = {}
        for _ in range(RUNS):
            for name, text in kinds.items():
                for tests in (1, TESTS):
                    file = Path(directory, f"test_{name}.py")
                    file.write_text(text.replace("MARK", "").replace("TESTS", str(tests)))
                    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
                    taken = spent_by([*command, file.name], directory)
                    spent.setdefault((name, tests), []).append(taken)
    each: dict[str, Spent] = {}
    for name in kinds:
        one, many = (Spent.least(spent[name, tests]) for tests in (1, TESTS))
        each[name] = Spent((many.wall - one.wall) / TESTS, (many.cpu - one.cpu) / TESTS)
        print(f"{TESTS} tests, {name:8}  {many.wall:.2f} s, processor {many.cpu:.2f} s")
    for name, what in (("fixtures", "of pytest for as many fixtures"), ("marked", "in all")):
        wall = (each[name].wall - each["bare"].wall) * 1e3
        cpu = (each[name].cpu - each["bare"].cpu) * 1e3
        goal = " (goal: 1)" if name == "marked" else ""
        print(f"one test with the marker, {what}  {wall:.2f} ms, processor {cpu:.2f} ms{goal}")


if __name__ == "__main__":
    print(machine())
    connections()
    markers()

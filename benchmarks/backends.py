"""Each backend that is named: to the first verdict, to that of another contract, probes a second.

``python benchmarks/backends.py local docker cluster``; without names ``local``. The settings of a
backend are those of its environment variables (PYTEST_EGRESS_...). On backends with test pods a
matrix is made on one and on four of them by turns, and a client is started for each probe beside
the agent's stream, as a tool without an agent does. What shares the machine hits both alike; the
processor's time says more than the clock's. Of ``kind`` also: to the first verdict on its cluster
that is there (--egress-reuse).
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from _measure import contract, machine, median_ms, timed

from pytest_egress import Egress, loads
from pytest_egress.backends.registry import Get, create
from pytest_egress.settings import outside_of_pytest

ROUNDS = {"local": 10, "docker": 5, "cluster": 3}  # of others one: each makes a cluster
URL = "http://service-0.example.com:443/"
ONE_BY_ONE, AT_ONCE = 300, 2000
CONCURRENCY = 8
WORKLOADS, TARGETS = 10, 1000  # of the matrix
PODS = 4
SLICES, SLICE = 5, 2000  # of the matrix on one and on several pods
EXECS, PER_EXEC = 20, 50  # probes of the agent between two that have a client of their own


class Cost(NamedTuple):
    """What probes take: seconds of the clock, of this process, and of what is seen in the pods."""

    wall: float = 0.0
    own: float = 0.0
    pods: float = 0.0

    def plus(self, other: Cost) -> Cost:
        """Both together."""
        return Cost(*(a + b for a, b in zip(self, other, strict=True)))

    def told(self, count: int) -> str:
        """A line for ``count`` probes."""
        own, pods = (f"{it / count * 1e3:.2f}" for it in self[1:])
        return f"{count / self.wall:8.0f} /s   (ms of processor a probe: {own} here, {pods} there)"


def measure(name: str) -> None:
    """Print the figures of one backend."""
    from_nothing(name, "nothing", outside_of_pytest, ROUNDS.get(name, 1))
    backend = create(name, outside_of_pytest)
    try:
        reach(Egress(backend, entries(10)))
        if name == "kind":
            from_nothing(name, "its cluster", reusing, ROUNDS["cluster"])
        others = []
        for size in range(11, 14):
            egress = Egress(backend, entries(size))
            others.append(timed(lambda egress=egress: reach(egress)))
        print(f"{name:8} another contract to verdict   {median_ms(others)}")
        rates(name, egress)
        if name == "local":
            matrix(name, egress)
        else:
            one_client_each(name, egress)
    finally:
        backend.close()
    if name != "local":
        spread(name)


def from_nothing(name: str, what: str, settings: Get, rounds: int) -> None:
    """Print how long the first verdict takes, and the end of the run."""
    first, ends = [], []
    for _ in range(rounds):
        backend = create(name, settings)
        egress = Egress(backend, entries(10))
        try:
            first.append(timed(lambda egress=egress: reach(egress)))
        finally:
            ends.append(timed(backend.close))
    print(f"{name:8} {what + ' to first verdict':29} {median_ms(first)}")
    print(f"{name:8} {'its end':29} {median_ms(ends)}", flush=True)


def reusing(name: str) -> Any:
    """The settings of the environment, and that a cluster that is there is used."""
    return True if name == "reuse" else outside_of_pytest(name)


def rates(name: str, egress: Egress) -> None:
    """Print how many probes a second there are, one by one and several at the same time."""
    samples = [timed(lambda: reach(egress)) for _ in range(ONE_BY_ONE)]
    print(f"{name:8} one probe                     {median_ms(samples)}")
    print(f"{name:8} probes one by one             {ONE_BY_ONE / sum(samples):8.0f} /s")
    started = time.perf_counter()
    outcomes = egress.get(URL, n=AT_ONCE, concurrency=CONCURRENCY)
    assert outcomes.reachable, outcomes
    seconds = time.perf_counter() - started
    print(f"{name:8} probes, {CONCURRENCY} at the same time    {AT_ONCE / seconds:8.0f} /s")


def matrix(name: str, egress: Egress) -> None:
    """Print how long a matrix takes; every second target is one that nothing declares."""
    asking = [f"default/app=w{number}" for number in range(WORKLOADS)]
    started = time.perf_counter()
    found = egress.matrix(asking, targets(0, TARGETS), concurrency=CONCURRENCY)
    seconds = time.perf_counter() - started
    assert len(found.blocked) == len(found) // 2, repr(found)
    size = f"{len(asking)} x {TARGETS}"
    print(
        f"{name:8} matrix of {size:11}         {seconds:8.2f} s   ({len(found) / seconds:.0f} /s)"
    )


def spread(name: str) -> None:
    """Print how long a matrix takes on one pod and on several, a slice on each by turns."""
    costs = {1: Cost(), PODS: Cost()}
    backends = {count: create(name, of_pods(count)) for count in costs}
    try:
        pods = {
            count: Egress(backend, entries(10), timeout=30) for count, backend in backends.items()
        }
        for egress in pods.values():
            reach(egress)
        for number in range(SLICES):
            urls = targets(number * SLICE, SLICE)
            for count, egress in pods.items():
                with_cost = spent(egress, lambda egress=egress, urls=urls: half(egress, urls))
                costs[count] = costs[count].plus(with_cost)
    finally:
        for backend in backends.values():
            backend.close()
    for count, cost in costs.items():
        what = f"matrix of {SLICES * SLICE}, pods: {count}"
        print(f"{name:8} {what:29} {cost.told(SLICES * SLICE)}")


def half(egress: Egress, urls: list[str]) -> None:
    """Make a matrix, half of which is declared."""
    found = egress.matrix(["default"], urls, concurrency=CONCURRENCY)
    assert len(found.blocked) == len(found) // 2, repr(found)


def one_client_each(name: str, egress: Egress) -> None:
    """Print what a probe takes that starts a client in the pod, beside one over the stream."""
    start = starter(egress)
    clients, stream = [], Cost()
    for _ in range(EXECS):
        clients.append(timed(start))
        stream = stream.plus(spent(egress, lambda: reach_often(egress)))
    print(f"{name:8} a client for each probe       {median_ms(clients)}")
    print(f"{name:8} the same by clients           {EXECS / sum(clients):8.0f} /s")
    print(f"{name:8} by the agent's stream         {stream.told(EXECS * PER_EXEC)}")


def reach_often(egress: Egress) -> None:
    """Make probes at the same time, each of which is answered."""
    outcomes = egress.get(URL, n=PER_EXEC, concurrency=CONCURRENCY)
    assert outcomes.reachable, outcomes


def starter(egress: Egress) -> Callable[[], None]:
    """What starts a client in the pod as ``docker exec`` and ``kubectl exec`` do, to its end."""
    pod = next(members(egress)).sidecar.pod
    code = f"import urllib.request as u; print(u.urlopen({URL!r}, timeout=10).status)"
    curl = f"command -v curl >/dev/null && exec curl --silent --fail {URL}"
    command = ["sh", "-c", f'{curl} || python3 -c "{code}"']
    if hasattr(pod, "container"):

        def start() -> None:
            status, output = pod.container.exec_run(command)
            assert status == 0, output

        return start
    from pytest_egress.backends.cluster.exec_stream import read_all
    from pytest_egress.backends.cluster.pod import CONTAINER

    def start_there() -> None:
        stream = egress.backend.api.exec(pod.namespace, pod.name, CONTAINER, command)
        assert read_all(stream, 30.0)

    return start_there


def spent(egress: Egress, do: Callable[[], object]) -> Cost:
    """What something takes here and in the pods."""
    there, own = pods_cpu(egress), time.process_time()
    wall = timed(do)
    return Cost(wall, time.process_time() - own, pods_cpu(egress) - there)


def pods_cpu(egress: Egress) -> float:
    """Seconds of processor of the processes that a pod's container sees, of all pods.

    On docker the proxy is among them, in a cluster it is not.
    """
    tick = os.sysconf("SC_CLK_TCK")
    ticks = 0
    for mesh in members(egress):
        ran = mesh.sidecar.pod.agent.exec(["sh", "-c", "cat /proc/[0-9]*/stat 2>/dev/null || true"])
        for line in ran.stdout.decode("utf-8", "replace").splitlines():
            _, _, rest = line.rpartition(")")
            fields = rest.split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / tick


def members(egress: Egress) -> Iterator[Any]:
    """The mesh of each pod."""
    mesh: Any = egress.mesh
    yield from getattr(mesh, "meshes", (mesh,))


def of_pods(count: int) -> Callable[[str], Any]:
    """The settings of the environment, with a number of pods."""
    return lambda name: count if name == "pods" else outside_of_pytest(name)


def targets(first: int, count: int) -> list[str]:
    """So many URLs, every second of a host that nothing declares."""
    hosts = ("service-{}.example.com", "undeclared-{}.example.com")
    return [f"http://{hosts[n % 2].format(n % 10)}:443/{n}" for n in range(first, first + count)]


def entries(count: int):  # noqa: ANN201  a contract
    """A contract of HTTP entries."""
    return loads(contract(count).replace("HTTPS", "HTTP"))


def reach(egress: Egress) -> None:
    """Make one probe, which is answered."""
    outcome = egress.get(URL)
    assert outcome.reachable, outcome.explain()


if __name__ == "__main__":
    print(machine())
    for backend_name in sys.argv[1:] or ["local"]:
        measure(backend_name)

"""Each backend that is named: to the first verdict, to that of another contract, probes a second.

``python benchmarks/backends.py local docker cluster``; without names ``local``. The settings of a
backend are those of its environment variables (PYTEST_EGRESS_...). Of ``kind`` also: to the first
verdict on its cluster that is there (--egress-reuse).
"""

from __future__ import annotations

import sys
import time
from typing import Any

from _measure import contract, machine, median_ms, timed

from pytest_egress import Egress, loads
from pytest_egress.backends.registry import Get, create
from pytest_egress.settings import outside_of_pytest

ROUNDS = {"local": 10, "docker": 5, "cluster": 3}  # of others one: each makes a cluster
URL = "http://service-0.example.com:443/"
ONE_BY_ONE, AT_ONCE = 300, 2000
CONCURRENCY = 8
WORKLOADS, TARGETS = 10, 1000  # of the matrix


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
        matrix(name, egress)
    finally:
        backend.close()


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
    hosts = ("service-{}.example.com", "undeclared-{}.example.com")
    urls = [f"http://{hosts[n % 2].format(n % 10)}:443/{n}" for n in range(TARGETS)]
    started = time.perf_counter()
    found = egress.matrix(asking, urls, concurrency=CONCURRENCY)
    seconds = time.perf_counter() - started
    assert len(found.blocked) == len(found) // 2, repr(found)
    size = f"{len(asking)} x {len(urls)}"
    print(
        f"{name:8} matrix of {size:11}         {seconds:8.2f} s   ({len(found) / seconds:.0f} /s)"
    )


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

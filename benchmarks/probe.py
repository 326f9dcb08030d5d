"""Fixture to first verdict (goal: 100 ms), and one probe against a bare request (goal: 3x).

The bare request is made by the same client to the same responder on loopback, without the proxy
and without evidence. Both kinds are taken in turn.
"""

from __future__ import annotations

import statistics
import subprocess
import sys

from _measure import contract, environment, machine, median_ms, timed

from pytest_egress import Egress, LocalBackend, loads
from pytest_egress.probe import Options, Prober, Target

FIRST = 15
PROBES = 300

FIRST_VERDICT = """
import time
from pytest_egress.contract import loads
declared = loads({yaml!r})
start = time.perf_counter()
from pytest_egress import Egress, LocalBackend
backend = LocalBackend()
outcome = Egress(backend, declared).probe({url!r})
seconds = time.perf_counter() - start
assert outcome.reachable, outcome.explain()
backend.close()
print(seconds)
"""

ENTRIES = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api}
spec:
  hosts: [api.example.com]
  location: MESH_EXTERNAL
  resolution: DNS
  ports:
  - {number: 80, name: http, protocol: HTTP}
  - {number: 443, name: https, protocol: HTTPS}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: db}
spec:
  hosts: [db.example.com]
  addresses: [198.51.100.7]
  location: MESH_EXTERNAL
  resolution: DNS
  ports:
  - {number: 5432, name: tcp, protocol: TCP}
"""


def first_verdict() -> None:
    """Time a fresh process from the creation of the backend to the first verdict."""
    for url in ("http://service-0.example.com:443", "https://service-0.example.com"):
        yaml = contract(10)
        if url.startswith("http:"):
            yaml = yaml.replace("HTTPS", "HTTP")
        code = FIRST_VERDICT.format(yaml=yaml, url=url)
        samples = [
            float(subprocess.check_output([sys.executable, "-c", code], env=environment()))
            for _ in range(FIRST + 1)
        ][1:]
        print(f"backend to first verdict, {url.split(':')[0]:5}  {median_ms(samples)}  (goal: 100)")


def against_bare() -> None:
    """Time probes with evidence and bare requests, in turn."""
    backend = LocalBackend()
    egress = Egress(backend, loads(ENTRIES))
    outside = backend.outside
    bare = Prober(ca_file=str(outside.ca_file))
    for url in ("http://api.example.com/", "https://api.example.com/", "tcp://198.51.100.7:5432"):
        target = Target.parse(url)
        place, port = outside.locate("198.18.0.1", target.port)
        direct = Target(target.scheme, target.host, port, target.path)
        probes, requests = [], []
        for number in range(PROBES + 20):
            options = Options(address=place)
            outcomes = []
            probe = timed(lambda url=url, kept=outcomes: kept.append(egress.probe(url)))
            assert outcomes[0].reachable, outcomes[0].explain()
            attempts = []
            request = timed(
                lambda d=direct, o=options, kept=attempts: kept.append(bare.attempt(d, o))
            )
            assert attempts[0].completed, attempts[0]
            if number >= 20:
                probes.append(probe)
                requests.append(request)
        ratio = statistics.median(probes) / statistics.median(requests)
        print(f"{target.scheme:5} bare request         {median_ms(requests)}")
        print(f"{target.scheme:5} probe with evidence  {median_ms(probes)}  {ratio:.2f}x (goal: 3)")
    backend.close()


if __name__ == "__main__":
    print(machine())
    first_verdict()
    against_bare()

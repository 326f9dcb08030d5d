"""Fixture to first verdict (goal: 100 ms), and one probe against a bare request (goal: 3x).

The bare request is made by the same client (its name lookup included) to the same responder on
loopback, without the proxy and without evidence. Both kinds are taken in turn.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from _measure import contract, environment, machine, median_ms, timed

from pytest_egress import Egress, LocalBackend, loads
from pytest_egress.probe import DnsResolver, Options, Prober, Target

FIRST = 15
PROBES = 300

CONFTEST = """
import time
import pytest

@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef, request):
    if fixturedef.argname.startswith("egress"):
        request.config.__dict__.setdefault("first_egress_fixture", time.perf_counter())
    return (yield)
"""
FIRST_TEST = """
import time

def test_first(egress, pytestconfig):
    outcome = egress.get({url!r})
    seconds = time.perf_counter() - pytestconfig.first_egress_fixture
    assert outcome.reachable, outcome.explain()
    print("seconds:", seconds)
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
    """Time real pytest runs from the set-up of the first fixture to the first verdict."""
    pytest = [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider"]
    for scheme, protocol in (("http", "HTTP"), ("https", "HTTPS")):
        url = f"{scheme}://service-0.example.com:443"
        with tempfile.TemporaryDirectory() as directory:
            text = contract(10).replace("HTTPS", protocol)
            Path(directory, "egress.yaml").write_text(text)
            Path(directory, "pytest.ini").write_text("[pytest]\negress_contract = egress.yaml\n")
            Path(directory, "conftest.py").write_text(CONFTEST)
            Path(directory, "test_first.py").write_text(FIRST_TEST.format(url=url))
            samples = []
            for _ in range(FIRST + 1):
                output = subprocess.check_output(
                    pytest, cwd=directory, env=environment(), text=True
                )
                samples.append(float(output.partition("seconds:")[2].split()[0]))
        print(f"fixture to first verdict, {scheme:5}  {median_ms(samples[1:])}  (goal: 100)")


def against_bare() -> None:
    """Time probes with evidence and bare requests, in turn."""
    backend = LocalBackend()
    egress = Egress(backend, loads(ENTRIES))
    outside = backend.outside
    bare = Prober(resolver=DnsResolver(outside.proxy_dns), ca_file=str(outside.ca_file))
    for url in ("http://api.example.com/", "https://api.example.com/", "tcp://db.example.com:5432"):
        target = Target.parse(url)
        direct = Target(target.scheme, target.host, outside.port_for(target.port), target.path)
        probes, requests = [], []
        for number in range(PROBES + 20):
            options = Options()
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

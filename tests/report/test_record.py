"""ServiceEntries from what was called: grouped, minimal, stable, and good when enforced."""

from __future__ import annotations

import os
import random
import socket
import ssl
from typing import Any

import pytest

from pytest_egress.backends.local import LocalBackend
from pytest_egress.contract import Contract, loads
from pytest_egress.egress import Egress
from pytest_egress.report.facts import Fact, fact_of_call
from pytest_egress.report.record import entries_for, sidecar_yaml, to_yaml

ROUND_TRIPS = int(os.environ.get("EGRESS_ROUND_TRIPS", "4"))


def fact(host: str, port: int, protocol: str = "tls", test: str = "t", **more: Any) -> Fact:
    """A call that an open mesh let through."""
    values: dict[str, Any] = {"address": "198.51.100.1", "verdict": "UNDECLARED", **more}
    return Fact(
        host, port, protocol, values["address"], values["verdict"], True, "PassthroughCluster", test
    )


def test_hosts_of_one_owner_share_an_entry() -> None:
    """As long as they need the same ports; a shared second level is nobody's."""
    facts = [
        fact("b.example.com", 443),
        fact("a.example.com", 443, test="u"),
        fact("c.example.com", 8443),
        fact("x.co.uk", 443),
        fact("shop.y.co.uk", 443),
    ]
    entries = entries_for(facts)
    assert [(it.name, it.hosts, it.ports) for it in entries] == [
        ("example-com", ("a.example.com", "b.example.com"), ((443, "TLS"),)),
        ("example-com-2", ("c.example.com",), ((8443, "TLS"),)),
        ("x-co-uk", ("x.co.uk",), ((443, "TLS"),)),
        ("y-co-uk", ("shop.y.co.uk",), ((443, "TLS"),)),
    ]
    assert entries[0].tests == ("u", "t")
    assert entries_for(reversed(facts)) == entries_for(facts) or [
        it.hosts for it in entries_for(reversed(facts))
    ] == [it.hosts for it in entries]


def test_protocols_are_those_that_were_seen() -> None:
    """Two protocols on one port have only bytes in common, and bytes need an address."""
    facts = [
        fact("a.example.com", 80, "http"),
        fact("a.example.com", 50051, "http2"),
        fact("a.example.com", 443, "tls"),
        fact("a.example.com", 443, "http"),
    ]
    routed, raw = entries_for(facts)
    assert routed.ports == ((80, "HTTP"), (50051, "HTTP2"))
    assert routed.addresses == ()
    assert (raw.name, raw.ports, raw.addresses) == (
        "a-example-com-tcp",
        ((443, "TCP"),),
        ("198.51.100.1",),
    )


def test_declared_calls_and_names_of_others_are_left_alone() -> None:
    """Only what the contract lacks is written, under a name that is free."""
    declared = Fact("a.example.com", 443, "tls", "", "REACHABLE", False, "outbound|443||a", "t")
    lookup = fact("gone.example.com", 0, "dns")
    assert entries_for([declared, lookup]) == []
    (entry,) = entries_for([fact("a.example.com", 443)], taken=["example-com"])
    assert entry.name == "example-com-2"


def test_notes() -> None:
    """A wildcard is suggested, never written; a simulated address is called one."""
    (wide,) = entries_for([fact(f"{name}.example.com", 443) for name in "abc"])
    assert wide.hosts == ("a.example.com", "b.example.com", "c.example.com")
    assert wide.notes == (
        "3 hosts below example.com: *.example.com would stand for all of them, and more",
    )
    (raw,) = entries_for([fact("db.example.com", 5432, "tcp", address="198.18.0.9")])
    assert raw.notes == ("198.18.0.9 is simulated: put the host's real address here",)


def test_text() -> None:
    """The document that a person would write, with the tests that need it."""
    facts = [
        fact("no", 443),
        *(fact("db.example.com", 5432, "tcp", test=f"t{n}") for n in range(7)),
    ]
    text = to_yaml(entries_for(facts))
    assert text.splitlines()[:7] == [
        "# needed by t0",
        "# needed by t1",
        "# needed by t2",
        "# needed by t3",
        "# needed by t4",
        "# and 2 more",
        "# TCP carries no name: the address decides",
    ]
    contract = loads(text)
    assert [entry.hosts for entry in contract.service_entries] == [("db.example.com",), ("no",)]
    sidecar = loads(text + "---\n" + sidecar_yaml(["b.example.com", "a.example.com"])).sidecars[0]
    assert sidecar.egress[0].hosts == ("*/a.example.com", "*/b.example.com")


Plan = list[tuple[str, int, str]]


def _application(seed: int) -> Plan:
    """Some calls: hosts, ports and protocols at random."""
    chance = random.Random(seed)
    owners = chance.sample(["example.com", "example.org", "shop.co.uk", "example.net"], 3)
    plan: Plan = []
    for owner in owners:
        for _ in range(chance.randint(1, 3)):
            host = f"{chance.choice('abcdef')}.{owner}"
            protocol = chance.choice(["tls", "http", "tcp"])
            port = {"tls": [443, 8443], "http": [80, 8080], "tcp": [5432, 6379]}[protocol]
            plan.append((host, chance.choice(port), protocol))
    return plan


def _call(plan: Plan) -> None:
    context = ssl.create_default_context()
    for host, port, protocol in plan:
        try:
            with socket.create_connection((host, port), timeout=10) as connection:
                connection.settimeout(10)
                if protocol == "tls":
                    context.wrap_socket(connection, server_hostname=host).close()
                else:
                    request = f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
                    connection.sendall(request.encode() if protocol == "http" else b"hello\n")
                    connection.recv(1000)
        except OSError:
            pass  # what it means is told by the calls


@pytest.mark.parametrize("seed", range(ROUND_TRIPS))
def test_round_trip(backend: LocalBackend, seed: int) -> None:
    """What was recorded is enough when it is enforced, and nothing of it is too much."""
    plan = _application(seed)
    open_mesh = Egress(backend, Contract()).with_policy("ALLOW_ANY")
    with open_mesh.capture(on_blocked="allow") as calls:
        _call(plan)
    assert len(calls.undeclared) == len(plan)
    facts = [fact_of_call(call, f"seed {seed}") for call in calls]
    entries = entries_for(facts)
    with Egress(backend, loads(to_yaml(entries))).capture() as calls:
        _call(plan)
    assert len(calls.reachable) == len(plan)
    for left_out in entries:
        rest = [entry for entry in entries if entry is not left_out]
        contract = loads(to_yaml(rest)) if rest else Contract()
        with Egress(backend, contract).capture(on_blocked="allow") as calls:
            _call(plan)
        assert calls.blocked, left_out

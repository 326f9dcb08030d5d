"""What istio-iptables redirects, by its rules and by a kernel that has them."""

from __future__ import annotations

import json
import sys
from ipaddress import IPv4Network
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pytest_egress.bypass.kernel import observe
from pytest_egress.bypass.redirection import RESOLVER, Packet, Redirection, Rule, decide

STRANGER = "203.0.113.66"
PACKETS = (
    Packet("tcp", STRANGER, 443),
    Packet("tcp", STRANGER, 5432),
    Packet("tcp", STRANGER, 53),
    Packet("tcp", STRANGER, 443, user=1337),
    Packet("tcp", RESOLVER, 53),
    Packet("tcp", RESOLVER, 53, user=1337),
    Packet("tcp", "10.1.2.3", 443),
    Packet("tcp", "10.2.2.3", 443),
    Packet("tcp", "127.0.0.1", 8080),
    Packet("udp", STRANGER, 443),
    Packet("udp", STRANGER, 5432),
    Packet("udp", STRANGER, 53),
    Packet("udp", RESOLVER, 53),
    Packet("udp", RESOLVER, 53, user=1337),
)
TEN_ONE = IPv4Network("10.1.0.0/16")
ASKED = {
    "default": Redirection(),
    "dns": Redirection(dns_capture=True),
    "ports": Redirection(exclude_ports=(5432, 53), dns_capture=True),
    "ranges": Redirection(exclude_ranges=(TEN_ONE,)),
    "included": Redirection(include_ranges=(TEN_ONE,), include_ports=(5432,)),
    "nothing": Redirection(include_ranges=()),
    "none": Redirection(none="no sidecar"),
}
# What becomes of each packet above: the proxy, the agent, or past both.
EXPECTED = {
    "default": "P P P - P - P P - - - - - -",
    "dns": "P P P - A - P P - - - - A -",
    "ports": "P - - - - - P P - - - - - -",
    "ranges": "P P P - P - - P - - - - - -",
    "included": "- P - - - - P - - - - - - -",
    "nothing": "- - - - - - - - - - - - - -",
    "none": "- - - - - - - - - - - - - -",
}
_NAMES = {"P": "proxy", "A": "agent", "-": ""}


def expected(name: str) -> list[str]:
    """Where the packets go."""
    return [_NAMES[letter] for letter in EXPECTED[name].split()]


@pytest.mark.parametrize("name", ASKED)
def test_by_the_rules(name: str) -> None:
    """The first rule that matches decides."""
    rules = ASKED[name].rules()
    assert [decide(rules, packet)[0] for packet in PACKETS] == expected(name)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="namespaces are Linux's")
@pytest.mark.parametrize("name", ["default", "ports", "included"])
def test_by_the_kernel(name: str) -> None:
    """It does what the rules say: packets are sent, by users 1000 and 1337."""
    assert observe(ASKED[name], PACKETS) == expected(name)


_RECORDED = json.loads(Path(__file__).with_name("iptables.json").read_text(encoding="utf-8"))
_JUMPS = {"RETURN": "", "ISTIO_REDIRECT": "proxy", "15053": "agent"}
_AGENTS_SERVER = "10.255.255.53/32"  # of the machine that it was recorded on


def recorded(line: str) -> Rule:
    """A rule as istio-iptables writes it."""
    words = line.split()
    given = dict(pairwise(words))
    target = _JUMPS[given["-j"] if given["-j"] != "REDIRECT" else words[-1]]
    network = given.get("-d", "").replace(_AGENTS_SERVER, RESOLVER)
    return Rule(
        target,  # type: ignore[arg-type]  # one of the three
        "tcp" if target == "proxy" else given.get("-p", ""),  # that chain takes TCP alone
        int(given.get("--dport", 0)),
        IPv4Network(network) if network else None,
        int(given["--uid-owner"]) if "--uid-owner" in given else None,
    )


@pytest.mark.parametrize("name", _RECORDED)
def test_the_rules_are_istios(name: str) -> None:
    """As istio-iptables 1.31 wrote them (``--dry-run``), those of ``lo`` and of groups left out."""
    asked: dict[str, Any] = {
        key: tuple(IPv4Network(it) if isinstance(it, str) else it for it in value)
        if isinstance(value, list)
        else value
        for key, value in _RECORDED[name]["asked"].items()
    }
    lines = [it for it in _RECORDED[name]["rules"] if "-o lo" not in it and "--gid-owner" not in it]
    assert len(lines) >= 2
    assert list(map(recorded, lines)) == list(Redirection(**asked).rules())


def test_other_systems_have_no_such_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """There the rules have to do."""
    monkeypatch.setattr(sys, "platform", "darwin")
    assert observe(Redirection(), PACKETS) is None


def test_a_rule_says_why() -> None:
    """In words that a finding uses."""
    rules = ASKED["ports"].rules()
    _, rule = decide(rules, Packet("tcp", STRANGER, 5432))
    assert rule is not None
    assert rule.why == "the annotation excludeOutboundPorts excludes it"
    assert decide(rules, Packet("udp", STRANGER, 443)) == ("", None)

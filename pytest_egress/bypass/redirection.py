"""What istio-iptables redirects in a pod: its rules for outbound packets, in their order.

A pure model of the chains ISTIO_OUTPUT and ISTIO_OUTPUT_DNS of Istio 1.31 for the proxy's user
1337. Rules that only speak of the interface ``lo`` are left out: what leaves the pod never meets
them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from pytest_egress.contract.position import Position

__all__ = ["AGENT", "PROXY", "PROXY_USER", "RESOLVER", "Packet", "Redirection", "Rule", "decide"]

Network = ipaddress.IPv4Network
Target = Literal["", "proxy", "agent"]

PROXY_USER = 1337
PROXY, AGENT = 15001, 15053  # where the sidecar and Istio's agent listen
RESOLVER = "10.96.0.10"  # stands for the name server in the pod's resolv.conf


@dataclass(frozen=True, slots=True)
class Packet:
    """The first packet of what a program sends."""

    protocol: Literal["tcp", "udp"]
    address: str
    port: int
    user: int = 1000

    def __str__(self) -> str:
        return f"{self.protocol}://{self.address}:{self.port}"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; what it does not name matches everything.

    Attributes:
        target: ``proxy`` or ``agent`` redirects there; empty lets it go (RETURN).
        protocol: ``tcp``, ``udp`` or empty.
        port: of the destination; 0: any.
        network: of the destination; None: any.
        user: of the program; None: any.
        why: in words, for a finding.
        position: of the annotation that it comes from; None: it is always there.
    """

    target: Target
    protocol: str = ""
    port: int = 0
    network: Network | None = None
    user: int | None = None
    why: str = field(default="", compare=False)
    position: Position | None = field(default=None, compare=False)

    def matches(self, packet: Packet) -> bool:
        """Whether it is about this packet."""
        return (
            self.protocol in {"", packet.protocol}
            and self.port in {0, packet.port}
            and (self.network is None or ipaddress.ip_address(packet.address) in self.network)
            and self.user in {None, packet.user}
        )


@dataclass(frozen=True, slots=True)
class Redirection:
    """What a pod's annotations ask istio-iptables for; the defaults are Istio's.

    Attributes:
        include_ranges: None stands for ``*``.
        positions: of the annotations, by name.
        none: why nothing is redirected at all; empty: it is.
    """

    exclude_ports: tuple[int, ...] = ()
    include_ports: tuple[int, ...] = ()
    exclude_ranges: tuple[Network, ...] = ()
    include_ranges: tuple[Network, ...] | None = None
    dns_capture: bool = False
    positions: dict[str, Position] = field(default_factory=dict, compare=False)
    none: str = ""

    def rules(self) -> tuple[Rule, ...]:
        """The rules, in the order in which the kernel tries them."""
        if self.none:
            return ()
        at = self.positions.get
        said = "the annotation {} excludes it"
        found = [
            Rule("", protocol, port, None, None, said.format(name), at(name))
            for name in ("excludeOutboundPorts",)
            for port in self.exclude_ports
            for protocol in ("tcp", "udp")
        ]
        user = f"it is sent by user {PROXY_USER}, as the proxy's own packets are"
        found.append(Rule("", user=PROXY_USER, why=user))
        if self.dns_capture:
            resolver = ipaddress.IPv4Network(RESOLVER)
            found += [Rule("agent", it, 53, resolver) for it in ("tcp", "udp")]
        found.append(Rule("", network=ipaddress.IPv4Network("127.0.0.1"), why="it is loopback"))
        found += [
            Rule("", "", 0, it, None, said.format("excludeOutboundIPRanges"),
                 at("excludeOutboundIPRanges"))
            for it in self.exclude_ranges
        ]  # fmt: skip
        found += [Rule("proxy", "tcp", it) for it in self.include_ports]
        if self.include_ranges is None:
            found.append(Rule("proxy", "tcp"))
        else:
            found += [Rule("proxy", "tcp", network=it) for it in self.include_ranges]
        return tuple(found)


def decide(rules: Iterable[Rule], packet: Packet) -> tuple[Target, Rule | None]:
    """Where a packet goes, and the rule that says so; None: no rule is about it."""
    for rule in rules:
        if rule.matches(packet):
            return rule.target, rule
    return "", None

"""Envoy's own choice of listener, filter chain, virtual host and route, played over a program.

A model of what the proxy does with one connection, as istiod's ``pilot/pkg/simulation``: it
knows no endpoints, DNS, faults or retries, and of a route's match only the path prefix, the one
kind that ServiceEntries give.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any, Literal

from pytest_egress.envoy import Program

__all__ = ["Answer", "Call", "simulate"]

_Json = Mapping[str, Any]
_EXACT = 1 << 30


@dataclass(frozen=True, slots=True)
class Call:
    """One connection by the application.

    ``protocol`` is ``http`` (HTTP/1.1 in plain text), ``tls`` (a handshake with ``sni``) or
    ``tcp`` (bytes that are neither).
    """

    port: int
    protocol: Literal["http", "tls", "tcp"]
    address: str = "1.3.3.7"
    host: str = ""
    sni: str = ""
    path: str = "/"

    @classmethod
    def from_json(cls, call: _Json) -> Call:
        """Read a call as recorded."""
        return cls(
            call["port"],
            call["protocol"],
            call.get("address") or "1.3.3.7",
            call.get("host", "").lower(),
            call.get("sni", "").lower(),
            call.get("path") or "/",
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """What the call met, in istiod's names; empty where it met none of that kind."""

    verdict: str
    listener: str = ""
    filter_chain: str = ""
    route_config: str = ""
    virtual_host: str = ""
    route: str = ""
    cluster: str = ""
    direct_response: int = 0

    def to_json(self) -> dict[str, Any]:
        """The fields that are set, as recorded answers have them."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in fields.items() if value}


def simulate(program: Program, call: Call) -> Answer:
    """The answer that a proxy with this program would give."""
    listener = _listener(program.listeners, call)
    chain = _filter_chain(listener, call)
    name, chain_name = listener["name"], "" if chain is None else chain.get("name", "")
    if chain is None:
        return Answer("error", name)
    terminal = chain["filters"][-1]["typed_config"]
    if terminal["@type"].endswith(".TcpProxy"):
        cluster = terminal["cluster"]
        return Answer(_cluster_verdict(program, cluster), name, chain_name, cluster=cluster)
    if call.protocol != "http":
        return Answer("error", name, chain_name)  # the codec cannot read it
    config, config_name = terminal.get("route_config"), ""
    if config is None:
        config_name = terminal["rds"]["route_config_name"]
        config = next(it for it in program.routes if it["name"] == config_name)
    host = _virtual_host(config, call.host)
    if host is None:
        return Answer("no_route", name, chain_name, config_name)
    route = next((it for it in host["routes"] if call.path.startswith(it["match"]["prefix"])), None)
    if route is None:
        return Answer("no_route", name, chain_name, config_name, host["name"])
    met = (name, chain_name, config_name, host["name"], route["name"])
    if "direct_response" in route:
        verdict = "blocked" if host["name"] == "block_all" else "direct_response"
        return Answer(verdict, *met, direct_response=route["direct_response"]["status"])
    cluster = route["route"]["cluster"]
    return Answer(_cluster_verdict(program, cluster), *met, cluster=cluster)


def _cluster_verdict(program: Program, cluster: str) -> str:
    if cluster == "BlackHoleCluster":
        return "blocked"
    if cluster == "PassthroughCluster":
        return "passthrough"
    known = any(it["name"] == cluster for it in program.clusters)
    return "allowed" if known else "no_cluster"


def _listener(listeners: Sequence[_Json], call: Call) -> _Json:
    """The exact address first, then the wildcard, then ``virtualOutbound``."""
    for address in (call.address, "0.0.0.0"):
        for listener in listeners:
            socket = listener["address"].get("socket_address", {})
            if (socket.get("address"), socket.get("port_value")) == (address, call.port):
                return listener
    return next(it for it in listeners if it["name"] == "virtualOutbound")


def _filter_chain(listener: _Json, call: Call) -> _Json | None:
    """Envoy's sieve: each criterion keeps the chains that match it best.

    Where none matches, the chains that do not ask for it stay.
    """
    inspectors = {it["name"].rpartition(".")[2] for it in listener.get("listener_filters", ())}
    tls_seen = "tls_inspector" in inspectors
    # Without its inspector a handshake is unknown bytes; ALPN of a handshake is not modelled.
    application = "http/1.1" if call.protocol == "http" and "http_inspector" in inspectors else ""
    transport = "tls" if call.protocol == "tls" and tls_seen else "raw_buffer"
    server_name = call.sni if tls_seen else ""

    def in_ranges(ranges: Iterable[_Json]) -> int:
        address = ip_address(call.address)
        networks = (
            ip_network(f"{it['address_prefix']}/{it['prefix_len']}", strict=False) for it in ranges
        )
        return max((1 + it.prefixlen for it in networks if address in it), default=0)

    criteria: tuple[tuple[str, Callable[[Any], int]], ...] = (
        ("destination_port", lambda port: port == call.port),
        ("prefix_ranges", in_ranges),
        ("server_names", lambda names: max(_name_rank(server_name, it) for it in names)),
        ("transport_protocol", lambda wanted: wanted == transport),
        ("application_protocols", lambda wanted: application in wanted),
    )
    chains: list[_Json] = list(listener["filter_chains"])
    for field, rank in criteria:
        chains = _best(chains, field, rank)
    if len(chains) > 1:
        raise AssertionError(f"{listener['name']}: chains with one match: {chains}")
    return chains[0] if chains else listener.get("default_filter_chain")


def _best(chains: list[_Json], field: str, rank: Callable[[Any], int]) -> list[_Json]:
    asked = [(chain, chain.get("filter_chain_match", {}).get(field)) for chain in chains]
    ranked = [(rank(value), chain) for chain, value in asked if value]
    best = max((score for score, _ in ranked), default=0)
    if best:
        return [chain for score, chain in ranked if score == best]
    return [chain for chain, value in asked if not value]


def _name_rank(name: str, pattern: str) -> int:
    """How well a server name or Host matches: exact, else the longest ``*`` suffix, else 0."""
    if name == pattern:
        return _EXACT
    if pattern.startswith("*") and len(name) >= len(pattern) and name.endswith(pattern[1:]):
        return len(pattern)
    return 0


def _virtual_host(config: _Json, host: str) -> _Json | None:
    """Exact domain, then the longest ``*suffix``, then ``*``; the port of Host is ignored."""
    if config.get("ignore_port_in_host_matching") and host.rpartition(":")[2].isdigit():
        host = host.rpartition(":")[0].strip("[]")
    ranked = [
        (1 if domain == "*" else 1 + _name_rank(host, domain) * 2, candidate)
        for candidate in config.get("virtual_hosts", ())
        for domain in candidate["domains"]
        if domain == "*" or _name_rank(host, domain)
    ]
    return max(ranked, key=lambda it: it[0])[1] if ranked else None

"""Envoy's own choice of listener, filter chain, virtual host and route, played over a program.

A model of what the proxy does with one connection, as istiod's ``pilot/pkg/simulation``: it
knows no endpoints, DNS, faults or retries.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any, Literal
from urllib.parse import parse_qs

from pytest_egress.envoy import Program

__all__ = ["Answer", "Call", "call_differences", "simulate"]

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
    method: str = "GET"
    headers: _Json = field(default_factory=dict)

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
            call.get("method") or "GET",
            call.get("headers") or {},
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
    clusters: Sequence[_Json] = ()
    direct_response: int = 0

    def to_json(self) -> dict[str, Any]:
        """The fields that are set, as recorded answers have them."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in fields.items() if value}


def call_differences(
    program: Program, calls: Iterable[_Json], answers: Iterable[_Json]
) -> list[str]:
    """Where the calls meet other things than in the oracle's own simulation of them."""
    found = []
    for call, met in zip(calls, answers, strict=True):
        told = simulate(program, Call.from_json(call)).to_json()
        istiods = {name: met[name] for name in Answer.__slots__ if met.get(name)}
        istiods |= {"clusters": met["weighted_clusters"]} if met.get("weighted_clusters") else {}
        if told != istiods:
            found.append(f"call {json.dumps(call)}: ours {told} istiod {istiods}")
    return found


def simulate(program: Program, call: Call) -> Answer:
    """The answer that a proxy with this program would give."""
    listener = _listener(program.listeners, call)
    chain = _filter_chain(listener, call)
    name, chain_name = listener["name"], "" if chain is None else chain.get("name", "")
    if chain is None:
        return Answer("error", name)
    terminal = chain["filters"][-1]["typed_config"]
    if terminal["@type"].endswith(".TcpProxy"):
        if "cluster" not in terminal:
            return Answer("error", name, chain_name)  # istiod's simulation knows no split of TCP
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
    route = next((it for it in host["routes"] if _matches(it["match"], call)), None)
    if route is None:
        return Answer("no_route", name, chain_name, config_name, host["name"])
    met = (name, chain_name, config_name, host["name"], route.get("name", ""))
    if "redirect" in route:
        return Answer("redirect", *met)
    if "direct_response" in route:
        verdict = "blocked" if host["name"] == "block_all" else "direct_response"
        return Answer(verdict, *met, direct_response=route["direct_response"]["status"])
    action = route["route"]
    if "cluster" in action:
        cluster = action["cluster"]
        return Answer(_cluster_verdict(program, cluster), *met, cluster=cluster)
    clusters = [
        {"cluster": it["name"], "weight": it["weight"]}
        for it in action["weighted_clusters"]["clusters"]
    ]
    # As istiod's simulation: whether the first of them exists decides.
    verdict = _cluster_verdict(program, clusters[0]["cluster"])
    return Answer(verdict, *met, clusters=clusters)


def _cluster_verdict(program: Program, cluster: str) -> str:
    if cluster == "BlackHoleCluster":
        return "blocked"
    if cluster == "PassthroughCluster":
        return "passthrough"
    known = any(it["name"] == cluster for it in program.clusters)
    return "allowed" if known else "no_cluster"


def _matches(match: _Json, call: Call) -> bool:
    path, _, query = call.path.partition("?")
    headers = {
        ":authority": call.host,
        ":path": call.path,
        ":method": call.method,
        ":scheme": "http",
    }
    headers |= {name.lower(): value for name, value in call.headers.items()}
    given = parse_qs(query, keep_blank_values=True)
    return (
        _path_matches(match, path)
        and all(_header_matches(it, headers) for it in match.get("headers", ()))
        and all(_query_matches(it, given) for it in match.get("query_parameters", ()))
    )


def _path_matches(match: _Json, path: str) -> bool:
    if "safe_regex" in match:
        return re.fullmatch(match["safe_regex"]["regex"], path) is not None
    fold = not match.get("case_sensitive", True)
    path = path.lower() if fold else path
    kind = next(it for it in ("prefix", "path", "path_separated_prefix") if it in match)
    wanted = match[kind].lower() if fold else match[kind]
    if kind == "prefix":
        return path.startswith(wanted)
    return bool(path == wanted or (kind != "path" and path.startswith(wanted + "/")))


def _header_matches(matcher: _Json, headers: _Json) -> bool:
    value = headers.get(matcher["name"].lower())
    if "present_match" in matcher:
        found = (value is not None) == matcher["present_match"]
    elif "string_match" not in matcher:
        found = value is not None
    elif value is None and not matcher.get("treat_missing_header_as_empty"):
        return False  # a missing header never matches, inverted or not
    else:
        found = _text_matches(matcher["string_match"], value or "")
    return bool(found != matcher.get("invert_match", False))


def _query_matches(matcher: _Json, given: Mapping[str, Sequence[str]]) -> bool:
    values = given.get(matcher["name"])
    if values is None:
        return False
    return "string_match" not in matcher or _text_matches(matcher["string_match"], values[0])


def _text_matches(matcher: _Json, text: str) -> bool:
    if "safe_regex" in matcher:
        return re.fullmatch(matcher["safe_regex"]["regex"], text) is not None
    text = text.lower() if matcher.get("ignore_case") else text
    kind = next(it for it in ("exact", "prefix", "suffix", "contains") if it in matcher)
    wanted = matcher[kind].lower() if matcher.get("ignore_case") else matcher[kind]
    if kind == "exact":
        return bool(text == wanted)
    if kind == "contains":
        return wanted in text
    return bool(text.startswith(wanted) if kind == "prefix" else text.endswith(wanted))


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
    for criterion, rank in criteria:
        chains = _best(chains, criterion, rank)
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

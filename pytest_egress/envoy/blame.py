"""From what Envoy says against a part of its configuration to the resources that the part is of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from pytest_egress.contract.position import Position, Problem
from pytest_egress.contract.resources import ServiceEntry
from pytest_egress.envoy.instruments import HTTP_CHAIN
from pytest_egress.envoy.marks import METADATA
from pytest_egress.envoy.names import cluster_name, is_wildcard
from pytest_egress.envoy.parts import CLUSTERS, LISTENERS, Path
from pytest_egress.envoy.program import Program
from pytest_egress.envoy.protocols import HTTP2, parse_protocol

if TYPE_CHECKING:
    from pytest_egress.envoy.virtual_service.rule import Rule

__all__ = ["RULE", "blame"]

Json = dict[str, Any]

RULE = "envoy/refused"
_HOST, _PORT, _ENDPOINT, _RULE, _POOL = "host", "port", "endpoint", "rule", "pool"
_MATCH = "match"
# The blocks of a traffic policy that reach a cluster.
_BLOCKS = ("tls", "connection_pool", "load_balancer", "outlier_detection", "retry_budget")
# What Envoy says, what of the contract it is about, and the mend.
_KNOWN = (
    ("partial wildcards", _HOST, 'Give whole labels, "*.example.com"'),
    (
        "overlapping matching rules",
        _MATCH,
        "Give each server name to one rule",
    ),
    (
        "duplicate address",
        _PORT,
        "The proxy itself listens on this port: give addresses, or another port",
    ),
    (
        "LOGICAL_DNS clusters must have a single",
        _ENDPOINT,
        "Give one endpoint, or take the annotation istio.io/connect-strategy away",
    ),
    (
        "dynamic_forward_proxy cluster must have auto_sni",
        _POOL,
        "With resolution DYNAMIC_DNS use HTTP or TLS, or a DestinationRule that adds TLS",
    ),
)


def blame(
    path: Path,
    part: tuple[Json, ...],
    words: str,
    program: Program,
    *,
    again: bool = False,
) -> Problem | None:
    """What a refused part is told as; None where no resource of the contract has made it.

    Args:
        path: of the part (`pytest_egress.envoy.parts`).
        part: itself and what it lies in, from the outside in.
        words: Envoy's own.
        program: what the contract was compiled to.
        again: the same has been said against another part of this listener: one that is of no
            resource by itself need not be told.
    """
    about, mend = next(
        ((kind, mend) for known, kind, mend in _KNOWN if known in words), (_RULE, "")
    )
    involved = [part[-1], *(_rivals(part) if about == _MATCH else ())]
    places = [place for it in involved for place in _makers(it, path, about, program)]
    if path[0] == LISTENERS and not places and not again:
        places = list(_declared(part[0], about, program))
    if not places:
        return None
    place, *others = dict.fromkeys(places)
    message = f'Envoy refuses {_described(path, part)}, which istiod makes of this: "{words}"'
    if mend:
        message += f". {mend}"
    if others:
        message += f" (see also {', '.join(map(str, others[:3]))})"
    return Problem("error", message, place, RULE)


def _makers(part: Json, path: Path, about: str, program: Program) -> Iterator[Position]:
    """The positions that a part is made of: its rule's, else those of its clusters."""
    if path[0] == LISTENERS and about == _PORT:
        return  # an address is the listener's, wherever its chains lead
    rules = list(_rules(part, program))
    for rule in rules:
        yield _in_rule(rule, about)
        yield from (root.position for root in _roots(rule))
    if rules:
        return
    for name in [part["name"]] if path[0] == CLUSTERS else _clusters(part):
        yield from _places(name, about, program)


def _rules(part: Json, program: Program) -> Iterator[Rule]:
    """The rules of VirtualServices that have made a filter chain, a route or a host's routes."""
    for it in (part, *part.get("routes", ())):
        marks = it.get("metadata", {}).get("filter_metadata", {}).get(METADATA, {})
        rule = program.rule(marks["rule"]) if "rule" in marks else None
        if rule is not None:
            yield rule


def _roots(rule: Rule) -> Iterator[Rule]:
    while rule.root is not None:
        rule = rule.root
        yield rule


def _declared(listener: Json, about: str, program: Program) -> Iterator[Position]:
    """The positions of the entries that a listener is of."""
    for entry in program.listener_origins.get(listener["name"], ()):
        port = listener["address"]["socket_address"]["port_value"]
        yield entry.at("spec", *(_port(entry, port) if about == _PORT else ("hosts",)))


def _in_rule(rule: Rule, about: str) -> Position:
    """The rule, or the server name of it that cannot be."""
    if about == _HOST and rule.kind == "tls":
        for i, match in enumerate(rule.service.tls[rule.index].match):
            for j, host in enumerate(match.sni_hosts):
                if is_wildcard(host) and not host.startswith("*."):
                    return rule.service.at("spec", "tls", rule.index, "match", i, "sniHosts", j)
    return rule.position


def _rivals(part: tuple[Json, ...]) -> Iterator[Json]:
    """The filter chains of a listener that match the same as the refused one, but for names."""
    listener, chain = part[:2]
    names, rest = _matched(chain)
    for other in listener["filter_chains"]:
        others, same = _matched(other)
        if other is not chain and same == rest and (names & others or names == others):
            yield other


def _matched(chain: Json) -> tuple[set[str], Json]:
    match = chain.get("filter_chain_match", {})
    rest = {name: value for name, value in match.items() if name != "server_names"}
    return set(match.get("server_names", ())), rest


def _places(cluster: str, about: str, program: Program) -> Iterator[Position]:
    """The positions that have a part in a cluster, the most telling first."""
    if not cluster.startswith("outbound|"):
        return
    _, port, subset, host = cluster.split("|")
    entries = program.origins.get(cluster_name(host, int(port)), ())
    rule = program.shaped.get(cluster)
    blocks: tuple[str, ...] = _BLOCKS if about == _RULE else ()
    if about == _POOL and not _speaks_http2(entries, int(port)):
        # The port itself is well: what a rule says of HTTP connections makes it so.
        blocks = ("connection_pool",)
    if rule is not None:
        found = (rule.position(block, int(port), subset) for block in blocks)
        yield from (it for it in found if it is not None)
    for entry in entries:
        yield entry.at("spec", *_inside(entry, about, host, port))


def _speaks_http2(entries: Iterable[ServiceEntry], port: int) -> bool:
    """Whether the port's own protocol says so, whatever a rule adds."""
    protocols = (it.protocol for entry in entries for it in entry.ports if it.number == port)
    return any(parse_protocol(it) in HTTP2 for it in protocols)


def _inside(entry: ServiceEntry, about: str, host: str, port: str) -> tuple[str | int, ...]:
    if about in {_PORT, _POOL}:
        return _port(entry, int(port))
    if about == _ENDPOINT and entry.endpoints:
        return ("endpoints",)
    hosts = [it.lower() for it in entry.hosts]
    return ("hosts", hosts.index(host.lower())) if host.lower() in hosts else ("hosts",)


def _port(entry: ServiceEntry, port: int) -> tuple[str | int, ...]:
    numbers = [it.number for it in entry.ports]
    return ("ports", numbers.index(port)) if port in numbers else ("ports",)


def _clusters(value: Any) -> Iterator[str]:
    """Every cluster that is named somewhere in a part."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(inner, str):
                if key == "cluster" or (key == "name" and inner.startswith("outbound|")):
                    yield inner
            else:
                yield from _clusters(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _clusters(inner)


def _described(path: Path, part: tuple[Json, ...]) -> str:
    if path[0] == CLUSTERS:
        return f"cluster {part[0]['name']}"
    names = [f"listener {part[0]['name']}"]
    kinds = ("filter chain", "virtual host", "route")
    for kind, index, inner in zip(kinds, path[2:], part[1:], strict=False):
        name = inner.get("name", "")
        if kind == "route":
            name = name or str(index)
        if name and name != HTTP_CHAIN:
            names.append(f"{kind} {name}")
    return ", ".join(reversed(names))

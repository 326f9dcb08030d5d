"""From what Envoy says against a part of its configuration to the resources that the part is of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pytest_egress.contract.position import Position, Problem
from pytest_egress.contract.resources import ServiceEntry
from pytest_egress.envoy.instruments import HTTP_CHAIN
from pytest_egress.envoy.names import cluster_name
from pytest_egress.envoy.parts import CLUSTERS, LISTENERS, Path
from pytest_egress.envoy.program import Program
from pytest_egress.envoy.protocols import HTTP2, parse_protocol
from pytest_egress.envoy.virtual_service.rule import Rule

__all__ = ["RULE", "blame"]

Json = dict[str, Any]

RULE = "envoy/refused"
_HOST, _PORT, _ENDPOINT, _RULE, _POOL = "host", "port", "endpoint", "rule", "pool"
# The blocks of a traffic policy that reach a cluster.
_BLOCKS = ("tls", "connection_pool", "load_balancer", "outlier_detection", "retry_budget")
# What Envoy says, what of the contract it is about, and the mend.
_KNOWN = (
    ("partial wildcards", _HOST, 'Give whole labels, "*.example.com"'),
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
    clusters = [part[0]["name"]] if path[0] == CLUSTERS else list(_clusters(part[-1]))
    about, mend = next(
        ((kind, mend) for known, kind, mend in _KNOWN if known in words), (_RULE, "")
    )
    rules = [] if path[0] == CLUSTERS else list(_rules(path, part, program))
    places = [rule.position for rule in rules]
    places += [place for name in clusters for place in _places(name, about, program)]
    if path[0] == LISTENERS and not places and not again:
        entries = program.listener_origins.get(part[0]["name"], ())
        places = [entry.at("spec", "hosts") for entry in entries]
    if not places:
        return None
    place, *others = dict.fromkeys(places)
    message = f'Envoy refuses {_described(path, part)}, which istiod makes of this: "{words}"'
    if mend:
        message += f". {mend}"
    if others:
        message += f" (see also {', '.join(map(str, others[:3]))})"
    return Problem("error", message, place, RULE)


def _rules(path: Path, part: tuple[Json, ...], program: Program) -> Iterator[Rule]:
    """The rules of VirtualServices that have made a filter chain, virtual host or route."""
    listener, chain, *inner = part
    default = path[2] == len(listener.get("filter_chains", ()))
    rule = program.chain_rules.get((listener["name"], -1 if default else path[2]))
    if rule is not None:
        yield rule
    if not inner:
        return
    configuration = chain["filters"][-1]["typed_config"]["route_config"]["name"]
    host = inner[0]
    for index in range(len(host["routes"])) if len(path) == 4 else path[4:]:
        rule = program.route_rules.get((configuration, host["name"], index))
        if rule is not None:
            yield rule


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
        numbers = [it.number for it in entry.ports]
        return ("ports", numbers.index(int(port))) if int(port) in numbers else ("ports",)
    if about == _ENDPOINT and entry.endpoints:
        return ("endpoints",)
    hosts = [it.lower() for it in entry.hosts]
    return ("hosts", hosts.index(host.lower())) if host.lower() in hosts else ("hosts",)


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

"""Which listener takes a connection, and which of its filter chains."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import Any

from pytest_egress.decide.call import Call
from pytest_egress.decide.texts import name_rank

__all__ = ["Listeners", "choose_chain"]

_Json = Mapping[str, Any]
_ANY = "0.0.0.0"  # noqa: S104  what a listener says, nothing is bound here
_SHOWN = 4


class Listeners:
    """The listeners of a program by their places."""

    def __init__(self, listeners: Sequence[_Json]) -> None:
        self._places: dict[tuple[str, int], _Json] = {}
        self._rest: _Json | None = None
        for listener in listeners:
            socket = listener["address"].get("socket_address", {})
            if listener["name"] == "virtualOutbound":
                self._rest = listener
            elif "address" in socket:
                self._places.setdefault((socket["address"], socket["port_value"]), listener)

    def choose(self, call: Call) -> tuple[_Json, str]:
        """The listener and why: of the exact address, else of any, else ``virtualOutbound``.

        Raises:
            LookupError: there is none.
        """
        found = self._places.get((call.address, call.port))
        wanted = call.destination
        if found is not None:
            return found, f"it is for {wanted}"
        found = self._places.get((_ANY, call.port))
        if found is not None:
            why = f"it takes port {call.port} of every address ({wanted} has none of its own)"
            return found, why
        if self._rest is None:
            raise LookupError(f"nothing listens on {wanted}")
        return self._rest, f"no listener has {wanted}, nor port {call.port} of every address"


def choose_chain(listener: _Json, call: Call) -> tuple[_Json | None, int, str]:
    """The filter chain, its index (-1: the default) and why; None where none matches, or several.

    Each criterion keeps the chains that match it best; where none does, those that do not ask for
    it stay.
    """
    inspectors = {it["name"].rpartition(".")[2] for it in listener.get("listener_filters", ())}
    tls_seen = "tls_inspector" in inspectors
    # Without its inspector a handshake is unknown bytes; ALPN of a handshake is not modelled.
    application = ""
    if call.protocol == "http" and "http_inspector" in inspectors:
        application = "h2c" if call.http2 else "http/1.1"
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
        ("server_names", lambda names: max(name_rank(server_name, it) for it in names)),
        ("transport_protocol", lambda wanted: wanted == transport),
        ("application_protocols", lambda wanted: application in wanted),
    )
    chains = list(enumerate(listener["filter_chains"]))
    for criterion, rank in criteria:
        chains = _best(chains, criterion, rank)
    if len(chains) > 1:
        why = f"{len(chains)} filter chains match it alike: Envoy refuses such a listener"
        return None, -1, why
    if chains:
        index, chain = chains[0]
        return chain, index, _matched(chain.get("filter_chain_match", {}), call)
    default = listener.get("default_filter_chain")
    return default, -1, _unmatched(listener, call, tls_seen=tls_seen, application=application)


def _best(
    chains: list[tuple[int, _Json]], field: str, rank: Callable[[Any], int]
) -> list[tuple[int, _Json]]:
    asked = [(it, it[1].get("filter_chain_match", {}).get(field)) for it in chains]
    ranked = [(rank(value), it) for it, value in asked if value]
    best = max((score for score, _ in ranked), default=0)
    if best:
        return [it for score, it in ranked if score == best]
    return [it for it, value in asked if not value]


def _matched(match: _Json, call: Call) -> str:
    """What of a chain's match was met."""
    met = []
    if match.get("destination_port"):
        met.append(f"port {call.port} is the proxy's own")
    if match.get("prefix_ranges"):
        ranges = [f"{it['address_prefix']}/{it['prefix_len']}" for it in match["prefix_ranges"]]
        met.append(f"{call.address} is in {_listed(ranges)}")
    if match.get("server_names"):
        met.append(f"it is for the server name {_listed(match['server_names'])}")
    if match.get("application_protocols"):
        met.append("the first bytes are an HTTP request")
    return " and ".join(met) or "it takes everything"


def _unmatched(listener: _Json, call: Call, *, tls_seen: bool, application: str) -> str:
    """Why no chain with a match of its own took it."""
    names = [
        name
        for chain in listener["filter_chains"]
        for name in chain.get("filter_chain_match", {}).get("server_names", ())
    ]
    ranged = any(
        "prefix_ranges" in it.get("filter_chain_match", {}) for it in listener["filter_chains"]
    )
    if names and tls_seen:
        what = "what comes is no TLS handshake"
        if call.protocol == "tls":
            what = f"the server name is {call.sni}" if call.sni else "there is no server name"
        return f"{what}, the other chains are for {_listed(names)}"
    if ranged:
        return f"{call.address} is in no range of the other chains"
    if application or call.protocol == "http":
        return "no other chain takes an HTTP request"
    return "the first bytes are no HTTP request, which the other chains want"


def _listed(items: Iterable[str]) -> str:
    shown = list(dict.fromkeys(items))
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return ", ".join(shown[:_SHOWN]) + more

"""What must be sent so that the rules of VirtualServices let it come to the declared host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_egress.envoy import Program
from pytest_egress.report.nearest import matches

__all__ = ["Way", "ruled_name", "way_of"]

_Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Way:
    """How a declared host is reached.

    Attributes:
        options: the probe's options, and the ``path``.
        ruled: whether rules of a VirtualService have a say in who answers.
    """

    options: dict[str, Any] = field(default_factory=dict)
    ruled: bool = False


def way_of(program: Program, name: str, port: int, scheme: str) -> Way | None:
    """How ``name`` is reached on ``port`` with ``scheme``; None: rules keep everybody away.

    That is so where each rule of a VirtualService answers by itself, or breaks every request off.
    """
    if scheme in {"tcp", "tls", "https"}:
        if _originates_tls(program, name, port) and scheme in {"tls", "https"}:
            return None  # what comes in by another port leaves here with TLS: clients do not dial
        return Way(ruled=any(place[0].endswith(f"_{port}") for place in program.chain_rules))
    found = _virtual_host(program, name, port)
    if found is None:
        return Way()
    config, host = found
    ruled = any(key[:2] == (config["name"], host["name"]) for key in program.route_rules)
    if not ruled:
        return Way()
    for index, route in enumerate(host["routes"]):
        if "route" not in route or _broken_off(route):
            if _takes_all(route["match"]):
                return None
            continue
        options = _options(route["match"])
        if options is not None and not any(
            _may_take(earlier["match"], options) for earlier in host["routes"][:index]
        ):
            return Way(options, ruled=True)
    return None


def ruled_name(program: Program, host: str, port: int) -> str:
    """A server name below the wildcard ``host`` that a VirtualService routes; empty: none does."""
    for listener in program.listeners:
        for index, chain in enumerate(listener.get("filter_chains", ())):
            if (listener["name"], index) not in program.chain_rules:
                continue
            if not listener["name"].endswith(f"_{port}"):
                continue
            for name in chain.get("filter_chain_match", {}).get("server_names", ()):
                if name.startswith("*.") and name.endswith(host[1:]):
                    return f"any{name[1:]}"
                if matches(host, name):
                    return str(name)
    return ""


def _originates_tls(program: Program, name: str, port: int) -> bool:
    for cluster in program.clusters:
        _, _, rest = cluster["name"].partition("|")
        number, _, host = rest.partition("|")
        if number == str(port) and matches(host.rpartition("|")[2], name):
            return "transport_socket" in cluster
    return False


def _virtual_host(program: Program, name: str, port: int) -> tuple[_Json, _Json] | None:
    """The virtual host that takes a name: exact, then by the longest wildcard."""
    best: tuple[int, _Json, _Json] | None = None
    for config in program.routes:
        if config["name"].rpartition(":")[2] != str(port):
            continue
        for host in config.get("virtual_hosts", ()):
            for domain in host["domains"]:
                rank = 1 << 30 if domain == name else len(domain)
                fits = domain == name or (domain.startswith("*.") and matches(domain, name))
                if fits and (best is None or rank > best[0]):
                    best = rank, config, host
    return None if best is None else best[1:]


def _broken_off(route: _Json) -> bool:
    """Whether a fault is injected into requests of this route."""
    filters = route.get("typed_per_filter_config", {})
    return any("abort" in it or "delay" in it for it in filters.values())


def _takes_all(match: _Json) -> bool:
    return match in ({"prefix": "/"}, {"prefix": "/", "case_sensitive": True})


def _options(match: _Json) -> dict[str, Any] | None:
    """A request that a route's match takes; None where none can be told from it."""
    known = {"prefix", "path", "headers", "case_sensitive"}
    if match.keys() - known or not {"prefix", "path"} & match.keys():
        return None
    options: dict[str, Any] = {"path": match.get("path", match.get("prefix", "/"))}
    headers: list[tuple[str, str]] = []
    for matcher in match.get("headers", ()):
        value = _value(matcher)
        if value is None:
            return None
        name = matcher["name"]
        if name == ":method":
            options["method"] = value
        elif name.startswith(":"):
            return None
        else:
            headers.append((name, value))
    if headers:
        options["headers"] = tuple(headers)
    if options["path"] == "/":
        del options["path"]
    return options


def _value(matcher: _Json) -> str | None:
    if matcher.get("invert_match"):
        return None
    if matcher.get("present_match"):
        return "1"
    text = matcher.get("string_match", {})
    return text.get("exact") or text.get("prefix") or None


def _may_take(match: _Json, options: Mapping[str, Any]) -> bool:
    """Whether a match may take a request; where it is hard to tell, it may."""
    path = str(options.get("path", "/"))
    if "path" in match and match["path"].lower() != path.lower():
        return False
    return not ("prefix" in match and not path.lower().startswith(match["prefix"].lower()))

"""Rules of a VirtualService that no call reaches, as far as istiod warns of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pytest_egress.contract.report import Path, Report
from pytest_egress.contract.schema import WRONG
from pytest_egress.contract.virtual_service.items import items

__all__ = ["check_reach"]

_MESSAGES = frozenset({"uri", "scheme", "method", "authority"})


def check_reach(spec: dict[str, Any], report: Report) -> None:
    """Warn of routes and matches behind others that take the same calls."""
    for protocol in ("http", "tls", "tcp"):
        routes = list(items(spec, protocol))
        if len(routes) > 1 or any(len(route.get("match", ())) > 1 for _, route in routes):
            _check_order(protocol, routes, report)
            if protocol == "http":
                _check_prefixes(routes, report)


def _check_order(protocol: str, routes: list[tuple[int, Any]], report: Report) -> None:
    """Behind a route without match nothing is reached; neither is a match given before."""
    seen: dict[str, Path] = {}
    catch_all: int | None = None
    for i, route in routes:
        path: Path = ("spec", protocol, i)
        matches = route.get("match", ())
        if catch_all is not None:
            place = report.locate(("spec", protocol, catch_all))
            message = f"never reached: the route at {place} has no match, so it takes every call"
            report.warning("virtual-service/unreachable", message, path)
            continue
        if not matches:
            catch_all = i
        for j, match in enumerate(matches):
            if match is WRONG:
                continue
            place_of = (*path, "match", j)
            first = seen.setdefault(_key(match), place_of)
            if first is not place_of:
                message = f"never reached: {report.locate(first)} matches the same"
                report.warning("virtual-service/duplicate-match", message, place_of)


def _key(match: dict[str, Any]) -> str:
    """A match without its name and without what says nothing, so that equal ones are equal."""
    told = {k: v for k, v in match.items() if k != "name" and (v or k in _MESSAGES)}
    return json.dumps(told, sort_keys=True, default=repr)


@dataclass(frozen=True, slots=True)
class _Prefix:
    """A match by uri prefix, in the words that istiod compares."""

    prefix: str
    port: int
    texts: tuple[str, str]  # method, authority
    maps: tuple[dict[str, str], dict[str, str], dict[str, str]]
    path: Path

    def covers(self, other: _Prefix) -> bool:
        """Whether istiod believes that ``other``, which comes later, is never reached."""
        return (
            other.prefix.startswith(self.prefix)
            and other.prefix != self.prefix
            and other.port == self.port
            and all(map(str.startswith, self.texts, other.texts))
            and all(map(_narrower, self.maps, other.maps))
        )


def _check_prefixes(routes: list[tuple[int, Any]], report: Report) -> None:
    found = list(_prefixes(routes))
    for i, later in enumerate(found):
        earlier = next((it for it in found[:i] if it.covers(later)), None)
        if earlier is not None:
            message = (
                f'never reached: prefix "{earlier.prefix}" at {report.locate(earlier.path)} '
                f'takes what begins with "{later.prefix}" too. Put this one before it'
            )
            report.warning("virtual-service/covered-match", message, later.path)


def _prefixes(routes: list[tuple[int, Any]]) -> Iterator[_Prefix]:
    """The matches that istiod compares: up to the first route without match, each one once."""
    seen: set[str] = set()
    for i, route in routes:
        if not route.get("match"):
            return
        for j, match in items(route, "match"):
            key = _key(match)
            if key in seen:
                continue
            seen.add(key)
            prefix = match.get("uri", {}).get("prefix")
            if prefix:
                yield _Prefix(
                    prefix,
                    match.get("port", 0),
                    (
                        _text(match.get("method", {})) or "exact:GET",
                        _text(match.get("authority", {})),
                    ),
                    (
                        _texts(match.get("headers", {})),
                        _texts(match.get("queryParams", {})),
                        _texts(match.get("withoutHeaders", {})),
                    ),
                    ("spec", "http", i, "match", j),
                )


def _text(match: dict[str, str]) -> str:
    if match.get("exact"):
        return f"exact:{match['exact']}"
    return f"prefix:{match['prefix']}" if match.get("prefix") else ""


def _texts(matches: dict[str, dict[str, str]]) -> dict[str, str]:
    return {name: _text(match) for name, match in matches.items()}


def _narrower(one: dict[str, str], other: dict[str, str]) -> bool:
    return len(one) == len(other) and all(
        name in other and value.startswith(other[name]) for name, value in one.items()
    )

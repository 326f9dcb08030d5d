"""Http routes that no call reaches, beyond those that istiod warns of itself."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_egress.contract.position import Problem
from pytest_egress.contract.report import Path
from pytest_egress.contract.virtual_service.lint.walk import Caller, callers, warning
from pytest_egress.contract.virtual_service.resource import HttpMatch, StringMatch, VirtualService

__all__ = ["lint_order"]

_EVERYTHING = frozenset(
    {StringMatch("prefix", "/"), StringMatch("prefix", ""), StringMatch("regex", ".*")}
)


def lint_order(service: VirtualService) -> Iterator[Problem]:
    """Matches behind one that takes every path, which is where istiod stops."""
    takers: list[tuple[Caller, Path]] = []
    for i, route in enumerate(service.http):
        if not route.match:
            return  # istiod warns of what stands behind
        for j, match in enumerate(route.match):
            path: Path = ("spec", "http", i, "match", j)
            caller = callers(match)
            first = next((place for taker, place in takers if taker.includes(caller)), None)
            if first is not None:
                message = (
                    f"never reached: the match at {service.at(*first)} takes every request. "
                    "Put this one before it"
                )
                yield warning(service, "lint/virtual-service-unreachable", message, path)
            elif _takes_all(match):
                takers.append((caller, path))


def _takes_all(match: HttpMatch) -> bool:
    narrowed = (
        match.scheme, match.method, match.authority,
        match.headers, match.without_headers, match.query_params,
    )  # fmt: skip
    return (match.uri is None or match.uri in _EVERYTHING or not match.uri.kind) and not any(
        narrowed
    )

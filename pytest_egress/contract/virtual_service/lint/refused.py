"""What istiod accepts of a VirtualService and Envoy then refuses, as far as the YAML shows it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product

from pytest_egress.contract.lint_refused import RULE
from pytest_egress.contract.position import Problem
from pytest_egress.contract.report import Path
from pytest_egress.contract.syntax import is_partial_wildcard
from pytest_egress.contract.virtual_service.lint.rivals import age, same_audience
from pytest_egress.contract.virtual_service.lint.walk import (
    Caller,
    callers,
    for_mesh,
    in_mesh,
    warning,
)
from pytest_egress.contract.virtual_service.regex import foreign_to_envoy
from pytest_egress.contract.virtual_service.resource import (
    HttpMatch,
    HttpRoute,
    StringMatch,
    TlsMatch,
    VirtualService,
)

__all__ = ["lint_overlaps", "lint_refused"]

_REDIRECTS = frozenset({0, 301, 302, 303, 307, 308})
_NO_STATUS = 600  # istiod has it in its range, Envoy has not


@dataclass(frozen=True, slots=True, eq=False)
class _Match:
    """A tls match for sidecars, with the networks that its filter chain is given."""

    service: VirtualService
    path: Path
    match: TlsMatch
    caller: Caller
    networks: tuple[str, ...]


def lint_refused(service: VirtualService) -> Iterator[Problem]:
    """Findings about one VirtualService."""
    for i, route in enumerate(service.http):
        path: Path = ("spec", "http", i)
        yield from _codes(service, route, path)
        for place, match in _string_matches(route, path):
            pattern = match.value if match.kind == "regex" and match.value != "*" else ""
            name = foreign_to_envoy(pattern)
            if name is not None:
                message = (
                    f'Envoy refuses "{name}" in a regex, which Go takes for a property: use a '
                    r"category such as \p{Lu}, or a script such as \p{Greek}, in these letters"
                )
                yield warning(service, RULE, message, (*place, "regex"))
    for i, tls in enumerate(service.tls):
        for j, match_ in enumerate(tls.match):
            for k, name in enumerate(match_.sni_hosts):
                if is_partial_wildcard(name):
                    path = ("spec", "tls", i, "match", j, "sniHosts", k)
                    message = f'Envoy refuses the server name "{name}": use "*.domain"'
                    yield warning(service, RULE, message, path)


def lint_overlaps(services: Iterable[VirtualService]) -> Iterator[Problem]:
    """Server names in two tls matches: Envoy wants each one once, together with its networks."""
    seen: dict[tuple[str, str], list[_Match]] = {}
    for found in _tls_matches(services):
        names = [name.lower() for name in found.match.sni_hosts]
        keys = list(product(names, found.networks or [""]))
        first = next(
            (
                (key[0], other)
                for i, key in enumerate(keys)
                for other in ([found] if key in keys[:i] else seen.get(key, ()))
                if other is found or _overlap(other, found)
            ),
            None,
        )
        if first is not None:
            name, other = first
            place = other.service.at(*other.path, "sniHosts")
            where = "twice in one list" if other is found else f"here and in the list at {place}"
            message = (
                f'Envoy refuses "{name}" {where}: give each name once, or two equal lists, of '
                "which the first is taken"
            )
            yield warning(found.service, RULE, message, (*found.path, "sniHosts"))
        elif (taken := _taken(found, seen.get(keys[0], ()))) is not None:
            message = (
                f"never reached: the same server names are matched at "
                f"{taken.service.at(*taken.path)} already, by an older VirtualService (or the "
                "first by name where no creationTimestamp is given)"
            )
            yield warning(found.service, "lint/virtual-service-rival", message, found.path)
        for key in dict.fromkeys(keys):
            seen.setdefault(key, []).append(found)


def _codes(service: VirtualService, route: HttpRoute, path: Path) -> Iterator[Problem]:
    if route.redirect is not None and route.redirect.code not in _REDIRECTS:
        message = (
            f"Istio makes a route without an action of code {route.redirect.code}, which Envoy "
            "refuses: use 301, 302, 303, 307 or 308"
        )
        yield warning(service, RULE, message, (*path, "redirect", "redirectCode"))
    answer = route.direct_response
    abort = route.fault.abort if route.fault is not None else None
    for status, place in (
        (answer.status if answer is not None else 0, ("directResponse", "status")),
        (abort.http_status if abort is not None else 0, ("fault", "abort", "httpStatus")),
    ):
        if status == _NO_STATUS:
            message = f"Envoy refuses the status {_NO_STATUS}: 200 to 599"
            yield warning(service, RULE, message, (*path, *place))
    for j, match in enumerate(route.match):
        if "" in match.query_params:
            message = "Envoy refuses a query parameter without a name"
            yield warning(service, RULE, message, (*path, "match", j, "queryParams"))


def _string_matches(route: HttpRoute, path: Path) -> Iterator[tuple[Path, StringMatch]]:
    for j, match in enumerate(route.match):
        yield from _of_match(match, (*path, "match", j))
    for j, origin in enumerate(route.cors_policy.allow_origins if route.cors_policy else ()):
        yield (*path, "corsPolicy", "allowOrigins", j), origin
    if route.rewrite is not None and route.rewrite.uri_regex is not None:
        place = (*path, "rewrite", "uriRegexRewrite")
        yield place, StringMatch("regex", route.rewrite.uri_regex.match)


def _of_match(match: HttpMatch, path: Path) -> Iterator[tuple[Path, StringMatch]]:
    for name, one in (
        ("uri", match.uri),
        ("scheme", match.scheme),
        ("method", match.method),
        ("authority", match.authority),
    ):
        if one is not None:
            yield (*path, name), one
    for name, several in (
        ("headers", match.headers),
        ("withoutHeaders", match.without_headers),
        ("queryParams", match.query_params),
    ):
        for key, one in several.items():
            yield (*path, name, key), one


def _tls_matches(services: Iterable[VirtualService]) -> Iterator[_Match]:
    for service in sorted(filter(in_mesh, services), key=age):
        before: list[_Match] = []
        for i, route in enumerate(service.tls):
            for j, match in enumerate(route.match):
                caller = callers(match)
                if not for_mesh(caller):
                    continue
                # istiod keeps the networks of a match for the later ones that have none
                kept = (it.networks for it in reversed(before) if it.caller.meets(caller))
                networks = _networks(match) or next(kept, ())
                found = _Match(service, ("spec", "tls", i, "match", j), match, caller, networks)
                before.append(found)
                yield found


def _networks(match: TlsMatch) -> tuple[str, ...]:
    """The networks as Envoy compares them: what the mask leaves out is nothing."""
    from ipaddress import ip_network

    return tuple(
        str(ip_network(it.partition("%")[0], strict=False)) for it in match.destination_subnets
    )


def _taken(match: _Match, others: Iterable[_Match]) -> _Match | None:
    """The equal match of another VirtualService for everyone that this one is for."""
    for other in others:
        if (
            other.service is not match.service
            and other.networks == match.networks
            and other.caller.includes(match.caller)
            and same_audience(other.service, match.service)
        ):
            return other
    return None


def _overlap(one: _Match, other: _Match) -> bool:
    """Whether some sidecar would be given both; of two that are equal istiod takes the first."""
    given = [(it.match.sni_hosts, it.match.destination_subnets) for it in (one, other)]
    return (
        given[0] != given[1]
        and one.caller.meets(other.caller)
        and (one.service is other.service or same_audience(one.service, other.service))
    )

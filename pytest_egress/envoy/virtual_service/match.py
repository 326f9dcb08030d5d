"""``HTTPMatchRequest`` to Envoy's ``RouteMatch``."""

from __future__ import annotations

from typing import Any

from pytest_egress.contract.virtual_service.resource import HttpMatch, StringMatch

__all__ = ["catches_all", "route_match", "string_matcher"]

Json = dict[str, Any]


def route_match(match: HttpMatch | None) -> Json:
    """The match of a route; None matches every request."""
    if match is None:
        return {"prefix": "/"}
    headers = [_header(name, text) for name, text in match.headers.items()]
    for name, text in match.without_headers.items():
        inverted = {**_header(name, text), "invert_match": True}
        if "present_match" not in inverted:
            inverted["treat_missing_header_as_empty"] = True
        headers.append(inverted)
    headers.sort(key=lambda it: str(it["name"]))
    for name, pseudo in (
        (":method", match.method),
        (":authority", match.authority),
        (":scheme", match.scheme),
    ):
        if pseudo is not None:
            headers.append(_header(name, pseudo))
    built: Json = {**_path(match.uri), "case_sensitive": not match.ignore_uri_case}
    if headers:
        built["headers"] = headers
    if match.query_params:
        # istiod writes them in the order of a Go map, which is none.
        built["query_parameters"] = [
            _header(name, text) for name, text in sorted(match.query_params.items())
        ]
    return built


def catches_all(match: Json) -> bool:
    """Whether a route with this match takes every request: nothing after it is ever reached."""
    any_path = match.get("prefix") == "/" or match.get("safe_regex", {}).get("regex") == ".*"
    return any_path and "headers" not in match and "query_parameters" not in match


def string_matcher(match: StringMatch) -> Json | None:
    """Envoy's ``StringMatcher``; None where the contract gives nothing to compare with."""
    if not match.kind:
        return None
    if match.kind == "regex":
        return {"safe_regex": _regex(match.value)}
    return {match.kind: match.value}


def _path(uri: StringMatch | None) -> Json:
    if uri is None or not uri.kind:
        return {"prefix": "/"}
    if uri.kind == "regex":
        return {"safe_regex": _regex(uri.value)}
    return {"path" if uri.kind == "exact" else "prefix": uri.value}


def _regex(text: str) -> Json:
    return {"regex": text} if text else {}


def _header(name: str, match: StringMatch) -> Json:
    """A header or a query parameter; the expression ``*`` asks for presence alone."""
    matcher = string_matcher(match)
    if matcher is None or (match.kind, match.value) == ("regex", "*"):
        return {"name": name, "present_match": True}
    return {"name": name, "string_match": matcher}

"""Envoy's matchers of texts, headers, query parameters and paths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs

from pytest_egress.decide.call import Call
from pytest_egress.decide.regex import full_match

__all__ = ["first_difference", "name_rank", "route_matches"]

_Json = Mapping[str, Any]
#: The rank of a name that matches exactly, above that of every wildcard.
EXACT = 1 << 30


def name_rank(name: str, pattern: str) -> int:
    """How well a server name or Host matches: exact, else the longest ``*`` suffix, else 0."""
    if name == pattern:
        return EXACT
    if pattern.startswith("*") and len(name) >= len(pattern) and name.endswith(pattern[1:]):
        return len(pattern)
    return 0


def route_matches(match: _Json, call: Call) -> bool:
    """Whether a route's match takes a request.

    Raises:
        ProbeError: a regular expression has something that only RE2 knows.
    """
    return not first_difference(match, call)


def first_difference(match: _Json, call: Call) -> str:
    """Why a route's match does not take a request, in words; empty when it does.

    Raises:
        ProbeError: see `route_matches`.
    """
    path, _, query = call.path.partition("?")
    if not _path_matches(match, path):
        kind = next(it for it in _PATHS if it in match)
        wanted = match[kind]["regex"] if kind == "safe_regex" else match[kind]
        return f"path {path} is not {_PATHS[kind]} {wanted}"
    headers = {
        ":authority": call.host,
        ":path": call.path,
        ":method": call.method,
        ":scheme": "http",
    }
    headers |= {name.lower(): value for name, value in call.headers.items()}
    for matcher in match.get("headers", ()):
        if not _header_matches(matcher, headers):
            value = headers.get(matcher["name"].lower())
            return f"header {matcher['name']} is {'absent' if value is None else value}"
    given = parse_qs(query, keep_blank_values=True)
    for matcher in match.get("query_parameters", ()):
        if not _query_matches(matcher, given):
            return f"query parameter {matcher['name']} does not match"
    return ""


_PATHS = {
    "prefix": "below",
    "path": "exactly",
    "path_separated_prefix": "at or below",
    "safe_regex": "of the form",
}


def _path_matches(match: _Json, path: str) -> bool:
    if "safe_regex" in match:
        return full_match(match["safe_regex"]["regex"], path)
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
        return full_match(matcher["safe_regex"]["regex"], text)
    text = text.lower() if matcher.get("ignore_case") else text
    kind = next(it for it in ("exact", "prefix", "suffix", "contains") if it in matcher)
    wanted = matcher[kind].lower() if matcher.get("ignore_case") else matcher[kind]
    if kind == "exact":
        return bool(text == wanted)
    if kind == "contains":
        return wanted in text
    return bool(text.startswith(wanted) if kind == "prefix" else text.endswith(wanted))

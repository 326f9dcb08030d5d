"""The hash policies of routes and TCP proxies, from a DestinationRule's ``consistentHash``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_egress.contract.duration import duration_json

if TYPE_CHECKING:
    from pytest_egress.contract.destination_rule.resource import ConsistentHash, HttpCookie

__all__ = ["route_hash_policy"]


def route_hash_policy(key: ConsistentHash) -> dict[str, Any]:
    """A ``RouteAction.HashPolicy``: one header, cookie, query parameter or the source address.

    Empty where the rule names none of them.
    """
    if key.http_header_name:
        return {"header": {"header_name": key.http_header_name}}
    if key.http_cookie is not None:
        return {"cookie": _cookie(key.http_cookie)}
    if key.http_query_parameter_name:
        return {"query_parameter": {"name": key.http_query_parameter_name}}
    if key.use_source_ip is None:
        return {}
    return {"connection_properties": {"source_ip": True} if key.use_source_ip else {}}


def _cookie(cookie: HttpCookie) -> dict[str, Any]:
    built: dict[str, Any] = {"name": cookie.name}
    if cookie.ttl is not None:
        built["ttl"] = duration_json(cookie.ttl)
    if cookie.path:
        built["path"] = cookie.path
    if cookie.attributes:
        built["attributes"] = [
            {key: text for key, text in (("name", name), ("value", value)) if text}
            for name, value in cookie.attributes
        ]
    return built

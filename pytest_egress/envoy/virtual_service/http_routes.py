"""The ``http`` rules of a VirtualService to Envoy's routes, for a sidecar or a gateway."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_egress.contract.duration import duration_json
from pytest_egress.contract.virtual_service.resource import (
    Destination,
    HttpMatch,
    HttpRoute,
    HttpRouteDestination,
    Retries,
)
from pytest_egress.envoy.names import cluster_name, labels_match
from pytest_egress.envoy.retries import retry_policy
from pytest_egress.envoy.services import ServicePort
from pytest_egress.envoy.virtual_service.actions import (
    HeaderChanges,
    direct_response,
    filter_settings,
    header_changes,
    mirror_fraction,
    mirror_policy,
    redirect,
)
from pytest_egress.envoy.virtual_service.match import catches_all, route_match
from pytest_egress.envoy.virtual_service.merge import MergedVirtualService
from pytest_egress.envoy.virtual_service.rule import Rule

__all__ = ["RouteContext", "build_http_routes", "destination_cluster"]

Json = dict[str, Any]

_NO_TIMEOUT = "0s"


@dataclass(frozen=True, slots=True)
class RouteContext:
    """What routes depend on besides the rule.

    Attributes:
        port: of the listener.
        namespace: of the workload whose proxy it is.
        labels: of that workload.
        gateways: what a match may name in ``gateways``: ``mesh``, or those of a gateway's server.
        ports_of: the ports of a service that the proxy knows; None for one that it does not.
        hash_of: what chooses the endpoint for a destination, where a DestinationRule says so.
        retries: the mesh's own retry policy.
        tls: the listener terminates TLS.
    """

    port: int
    namespace: str
    labels: Mapping[str, str]
    ports_of: Callable[[str], Sequence[ServicePort] | None]
    hash_of: Callable[[Destination], Json | None] = lambda _: None
    retries: Retries | None = None
    gateways: frozenset[str] = frozenset({"mesh"})
    tls: bool = False

    def cluster(self, destination: Destination) -> str:
        """The cluster of a destination, whether it exists or not."""
        return destination_cluster(destination, self.ports_of(destination.host), self.port)


def destination_cluster(
    destination: Destination, ports: Sequence[ServicePort] | None, listener_port: int
) -> str:
    """The cluster of a destination.

    Without a port it is that of a service that has one port only, else the listener's.
    """
    port = destination.port
    if not port:
        port = ports[0].number if ports is not None and len(ports) == 1 else listener_port
    return cluster_name(destination.host, port, destination.subset)


def build_http_routes(
    merged: MergedVirtualService, context: RouteContext
) -> list[tuple[Json, Rule]]:
    """One route per rule and match that concern this proxy, in order, with its rule.

    What follows a route that takes every request is left out. An empty list means that the
    VirtualService says nothing here.
    """
    routes: list[tuple[Json, Rule]] = []
    for http, rule in zip(merged.service.http, merged.http_rules, strict=True):
        if not http.match:
            routes.append((_route(http, None, merged, context), rule))
            break
        for match in http.match:
            if not _concerns(match, context):
                continue
            built = _route(http, match, merged, context)
            routes.append((built, rule))
            if catches_all(built["match"]):
                return routes
    return routes


def _concerns(match: HttpMatch, context: RouteContext) -> bool:
    """The part of a match that is known beforehand: port, gateways, source.

    Where gateways are named the source is not looked at, as istiod does.
    """
    if match.port and match.port != context.port:
        return False
    if match.gateways:
        return not context.gateways.isdisjoint(match.gateways)
    return labels_match(match.source_labels, context.labels) and match.source_namespace in {
        "",
        context.namespace,
    }


def _route(
    http: HttpRoute, match: HttpMatch | None, merged: MergedVirtualService, context: RouteContext
) -> Json:
    route: Json = {}
    name = http.name
    if match is not None and match.name:
        name = f"{name}.{match.name}"
    if name:
        route["name"] = name
    route["match"] = route_match(match)
    if match is not None and match.stat_prefix:
        route["stat_prefix"] = match.stat_prefix
    changes = header_changes(http.headers)
    if http.redirect is not None:
        answer = redirect(http.redirect, context.port, tls=context.tls)
        if answer is not None:
            route["redirect"] = answer
    elif http.direct_response is not None:
        route["direct_response"] = direct_response(http.direct_response)
    else:
        route["route"], changes = _action(http, changes, context)
    operation = _operation(route, merged.declared.metadata.name, context.port)
    route["decorator"] = {"operation": operation}
    route.update(changes.fields())
    settings = filter_settings(http)
    if settings:
        route["typed_per_filter_config"] = settings
    return route


def _action(
    http: HttpRoute, changes: HeaderChanges, context: RouteContext
) -> tuple[Json, HeaderChanges]:
    """The ``RouteAction``, and the header changes with those of an only destination."""
    timeout = _NO_TIMEOUT if not http.timeout else duration_json(http.timeout)
    action: Json = {"timeout": timeout, "max_grpc_timeout": timeout}
    authority = changes.authority
    rewrite = http.rewrite
    if rewrite is not None:
        if rewrite.uri_regex is not None:
            action["regex_rewrite"] = _regex_rewrite(
                rewrite.uri_regex.match, rewrite.uri_regex.rewrite
            )
        elif rewrite.uri:
            action["prefix_rewrite"] = rewrite.uri
        authority = rewrite.authority or authority
    mirrors = _mirrors(http, context)
    if mirrors:
        action["request_mirror_policies"] = mirrors
    hashed = False
    if len(http.route) == 1:
        destination = http.route[0]
        action["cluster"] = context.cluster(destination.destination)
        own = header_changes(destination.headers)
        changes += own
        # The rule's own rewrite goes before that of its destination.
        authority = authority or own.authority
        hash_policy = context.hash_of(destination.destination)
        hashed = hash_policy is not None
        policies = [hash_policy] if hash_policy else []
    else:
        # One that weighs nothing is left out.
        weighted = [it for it in http.route if it.weight]
        clusters = [_weighted(it, context) for it in weighted]
        action["weighted_clusters"] = {"clusters": clusters} if clusters else {}
        policies = [it for it in (context.hash_of(it.destination) for it in weighted) if it]
    if authority:
        action["host_rewrite_literal"] = authority
    if policies:
        action["hash_policy"] = policies
    retries = retry_policy(http.retries or context.retries, hashed=hashed)
    if retries is not None:
        action["retry_policy"] = retries
    return action, changes


def _regex_rewrite(pattern: str, substitution: str) -> Json:
    built: Json = {"pattern": {"regex": pattern} if pattern else {}}
    if substitution:
        built["substitution"] = substitution
    return built


def _mirrors(http: HttpRoute, context: RouteContext) -> list[Json]:
    wanted = [(it.destination, mirror_fraction(it.percentage)) for it in http.mirrors]
    if http.mirror is not None:
        fraction = mirror_fraction(http.mirror_percentage, http.mirror_percent)
        wanted.insert(0, (http.mirror, fraction))
    return [
        mirror_policy(context.cluster(destination), fraction)
        for destination, fraction in wanted
        if fraction is not None
    ]


def _weighted(item: HttpRouteDestination, context: RouteContext) -> Json:
    changes = header_changes(item.headers)
    built: Json = {
        "name": context.cluster(item.destination),
        "weight": item.weight,
        **changes.fields(),
    }
    if changes.authority:
        built["host_rewrite_literal"] = changes.authority
    return built


def _operation(route: Json, name: str, port: int) -> str:
    """What traces call the route: the one destination, else the VirtualService, and the path."""
    match = route["match"]
    if "safe_regex" in match:
        path = match["safe_regex"].get("regex", "")
    else:
        path = match["path"] if "path" in match else f"{match['prefix']}*"
    cluster = route.get("route", {}).get("cluster", "")
    if cluster:
        _, number, _, host = cluster.split("|")
        return f"{host}:{number}{path}"
    return f"{name}:{port}{path}"

"""VirtualServices as istiod keeps them: names in full, delegates merged into their roots."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from pytest_egress.contract.contract import Contract
from pytest_egress.contract.resources import MeshConfig
from pytest_egress.contract.virtual_service.resource import (
    Destination,
    HttpMatch,
    HttpRoute,
    StringMatch,
    VirtualService,
)
from pytest_egress.envoy.names import qualified_host
from pytest_egress.envoy.virtual_service.rule import Rule

__all__ = ["MergedVirtualService", "exported_namespaces", "merge_virtual_services"]

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True, eq=False)
class MergedVirtualService:
    """A VirtualService with hosts.

    Attributes:
        service: all names in full, and in place of each delegating rule those of the delegate.
        declared: the VirtualService as the contract has it.
        http_rules: where each item of ``service.http`` stands.
    """

    service: VirtualService
    declared: VirtualService
    http_rules: tuple[Rule, ...]


def merge_virtual_services(contract: Contract) -> list[MergedVirtualService]:
    """The VirtualServices of a contract, the oldest first, then by name and namespace."""
    delegates = {
        (it.metadata.namespace, it.metadata.name): it
        for it in contract.virtual_services
        if not it.hosts
    }
    merged = [_merged(it, delegates, contract.mesh) for it in contract.virtual_services if it.hosts]
    merged.sort(key=_age)
    return merged


def exported_namespaces(service: VirtualService, mesh: MeshConfig) -> frozenset[str]:
    """What ``exportTo`` says, ``.`` being the VirtualService's own namespace."""
    export_to = service.export_to or mesh.default_virtual_service_export_to or ("*",)
    return frozenset(service.metadata.namespace if it == "." else it for it in export_to)


def _age(merged: MergedVirtualService) -> tuple[float, str, str]:
    metadata = merged.declared.metadata
    return (metadata.creation_timestamp, metadata.name, metadata.namespace)


def _merged(
    declared: VirtualService, delegates: Mapping[tuple[str, str], VirtualService], mesh: MeshConfig
) -> MergedVirtualService:
    root = _in_full(declared)
    routes: list[tuple[HttpRoute, Rule]] = []
    for index, route in enumerate(root.http):
        rule = Rule(declared, "http", index)
        if route.delegate is None:
            routes.append((route, rule))
            continue
        namespace = route.delegate.namespace or declared.metadata.namespace
        delegate = delegates.get((namespace, route.delegate.name))
        # A delegate that does not exist, or is hidden from the root, takes its rule with it.
        if delegate is None or exported_namespaces(delegate, mesh).isdisjoint(
            {"*", declared.metadata.namespace}
        ):
            continue
        for position, delegated in enumerate(_in_full(delegate).http):
            merged = _merged_route(route, delegated)
            if merged is not None:
                routes.append((merged, Rule(delegate, "http", position, rule)))
    service = replace(root, http=tuple(route for route, _ in routes))
    return MergedVirtualService(service, declared, tuple(rule for _, rule in routes))


def _merged_route(root: HttpRoute, delegate: HttpRoute) -> HttpRoute | None:
    """The delegate's route inside the root's (istiod's ``MergeHTTPRoutes``).

    None where the delegate asks for more than the root gives it.
    """
    matches = _merged_matches(root.match, delegate.match)
    if matches is None:
        return None
    return replace(
        delegate,
        match=matches,
        name=_joined(root.name, delegate.name),
        rewrite=delegate.rewrite or root.rewrite,
        direct_response=delegate.direct_response or root.direct_response,
        timeout=_first(delegate.timeout, root.timeout),
        retries=delegate.retries or root.retries,
        fault=delegate.fault or root.fault,
        mirror=delegate.mirror or root.mirror,
        mirror_percent=_first(delegate.mirror_percent, root.mirror_percent),
        mirror_percentage=_first(delegate.mirror_percentage, root.mirror_percentage),
        mirrors=delegate.mirrors or root.mirrors,
        cors_policy=delegate.cors_policy or root.cors_policy,
        headers=delegate.headers or root.headers,
    )


def _first(own: _Value | None, inherited: _Value | None) -> _Value | None:
    return inherited if own is None else own


def _joined(root: str, delegate: str) -> str:
    return f"{root}-{delegate}" if root and delegate else root or delegate


def _merged_matches(
    root: tuple[HttpMatch, ...], delegate: tuple[HttpMatch, ...]
) -> tuple[HttpMatch, ...] | None:
    """Each match of the delegate inside each of the root's that has room for it."""
    if not root or not delegate:
        return root or delegate
    merged: list[HttpMatch] = []
    for inner in delegate:
        found = [_merged_match(outer, inner) for outer in root if not _conflict(outer, inner)]
        if not found:
            return None
        merged += found
    return tuple(merged)


def _merged_match(root: HttpMatch, delegate: HttpMatch) -> HttpMatch:
    return replace(
        delegate,
        name=_joined(root.name, delegate.name),
        uri=delegate.uri or root.uri,
        scheme=delegate.scheme or root.scheme,
        method=delegate.method or root.method,
        authority=delegate.authority or root.authority,
        headers={**root.headers, **delegate.headers},
        without_headers={**root.without_headers, **delegate.without_headers},
        query_params={**root.query_params, **delegate.query_params},
        port=delegate.port or root.port,
        source_labels={**root.source_labels, **delegate.source_labels},
        source_namespace=delegate.source_namespace or root.source_namespace,
        gateways=delegate.gateways or root.gateways,
        stat_prefix=delegate.stat_prefix or root.stat_prefix,
    )


def _conflict(root: HttpMatch, leaf: HttpMatch) -> bool:
    """Whether the leaf is met by requests that the root does not let through."""
    pairs = [
        (root.uri, leaf.uri),
        (root.scheme, leaf.scheme),
        (root.method, leaf.method),
        (root.authority, leaf.authority),
        *_pairs(root.headers, leaf.headers),
        *_pairs(root.without_headers, leaf.without_headers),
        *_pairs(root.query_params, leaf.query_params),
    ]
    return (
        any(_texts_conflict(outer, inner) for outer, inner in pairs)
        or root.ignore_uri_case != leaf.ignore_uri_case
        or bool(root.port and leaf.port and root.port != leaf.port)
        or bool(root.source_namespace and leaf.source_namespace != root.source_namespace)
        or any(root.source_labels.get(key, it) != it for key, it in leaf.source_labels.items())
        or bool(
            root.gateways
            and leaf.gateways
            and (
                len(root.gateways) < len(leaf.gateways)
                or not set(leaf.gateways).issubset(root.gateways)
            )
        )
    )


def _pairs(
    root: Mapping[str, StringMatch], leaf: Mapping[str, StringMatch]
) -> Iterable[tuple[StringMatch | None, StringMatch]]:
    return ((root.get(name), match) for name, match in leaf.items())


def _texts_conflict(root: StringMatch | None, leaf: StringMatch | None) -> bool:
    """Whether ``leaf`` is not known to be part of ``root``; expressions are never compared."""
    if root is None or leaf is None:
        return False
    outer, inner = (it.kind if it.value else "" for it in (root, leaf))
    if "regex" in {outer, inner} and outer and inner:
        return True
    if outer == "exact":
        return inner != "exact" or leaf.value != root.value
    if outer == "prefix" and inner:
        return not leaf.value.startswith(root.value)
    return True


def _in_full(service: VirtualService) -> VirtualService:
    """The VirtualService with each name resolved from its own namespace."""
    namespace = service.metadata.namespace

    def destination(item: Destination) -> Destination:
        return replace(item, host=qualified_host(item.host, namespace))

    def gateways(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_gateway(name, namespace) for name in names)

    def http(route: HttpRoute) -> HttpRoute:
        return replace(
            route,
            match=tuple(replace(it, gateways=gateways(it.gateways)) for it in route.match),
            route=tuple(replace(it, destination=destination(it.destination)) for it in route.route),
            mirror=destination(route.mirror) if route.mirror else None,
            mirrors=tuple(
                replace(it, destination=destination(it.destination)) for it in route.mirrors
            ),
        )

    return replace(
        service,
        hosts=tuple(qualified_host(host, namespace) for host in service.hosts),
        gateways=gateways(service.gateways),
        http=tuple(map(http, service.http)),
        tls=tuple(
            replace(
                rule,
                match=tuple(replace(it, gateways=gateways(it.gateways)) for it in rule.match),
                route=tuple(
                    replace(it, destination=destination(it.destination)) for it in rule.route
                ),
            )
            for rule in service.tls
        ),
        tcp=tuple(
            replace(
                rule,
                match=tuple(replace(it, gateways=gateways(it.gateways)) for it in rule.match),
                route=tuple(
                    replace(it, destination=destination(it.destination)) for it in rule.route
                ),
            )
            for rule in service.tcp
        ),
    )


def _gateway(name: str, namespace: str) -> str:
    """``namespace/name`` of a Gateway; ``name.namespace.svc...`` is the old way to write it."""
    if name == "mesh" or "/" in name:
        return name
    if "." not in name:
        return f"{namespace}/{name}"
    short, _, rest = name.partition(".")
    return f"{rest.partition('.')[0]}/{short}"

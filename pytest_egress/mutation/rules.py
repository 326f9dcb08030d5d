"""Mutants of VirtualServices and DestinationRules: routes and fields that are gone."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pytest_egress.collection.names import inside
from pytest_egress.contract.contract import Contract
from pytest_egress.contract.resources import Port
from pytest_egress.envoy.names import qualified_host
from pytest_egress.mutation.entries import wrong_certificate
from pytest_egress.mutation.mutant import Mutant, call_of, changed, replaced, without

if TYPE_CHECKING:
    from pytest_egress.contract.destination_rule.resource import DestinationRule
    from pytest_egress.contract.virtual_service.resource import HttpRoute, VirtualService

__all__ = ["remove_field", "remove_route", "remove_rule_sans"]

_KINDS = ("http", "tls", "tcp")
_OF_ROUTES = ("timeout", "retries", "rewrite", "fault", "mirror", "mirrors", "headers")
_WHOLE = {"tls", "locality"}  # what is in them is no rule of its own


def remove_route(contract: Contract) -> Iterator[Mutant]:
    """A VirtualService has one route less."""
    for service in contract.virtual_services:
        for kind in _KINDS:
            routes = getattr(service, kind)
            for index in range(len(routes)):
                left = without(routes, index)
                others = any(getattr(service, it) for it in _KINDS if it != kind)
                made = (
                    changed(contract, service, **{kind: left})
                    if left or others
                    else replaced(contract, service)
                )
                yield Mutant(
                    "remove-route",
                    f"{kind}[{index}] of VirtualService {service.metadata.name} is gone",
                    service.at("spec", kind, index),
                    made,
                    _of_route(contract, service, routes[index]),
                )


def remove_field(contract: Contract) -> Iterator[Mutant]:
    """A DestinationRule, or an HTTP route, says one thing less."""
    for rule in contract.destination_rules:
        for path, left in _removals(rule.traffic_policy, ("trafficPolicy",)):
            yield _removed(contract, rule, path, traffic_policy=left)
        for index, subset in enumerate(rule.subsets):
            at = ("subsets", index, "trafficPolicy")
            for path, left in _removals(subset.traffic_policy, at):
                subsets = list(rule.subsets)
                subsets[index] = dataclasses.replace(subset, traffic_policy=left)
                yield _removed(contract, rule, path, subsets=tuple(subsets))
    for service in contract.virtual_services:
        for index, route in enumerate(service.http):
            yield from _fields_of(contract, service, index, route)


def remove_rule_sans(contract: Contract) -> Iterator[Mutant]:
    """A DestinationRule takes a certificate of any name."""
    for rule in contract.destination_rules:
        policy = rule.traffic_policy
        if policy is None:
            continue
        host = inside(qualified_host(rule.host, rule.metadata.namespace))
        say = wrong_certificate(host, _port_of(contract, host, ""))
        if policy.tls is not None and policy.tls.subject_alt_names:
            tls = dataclasses.replace(policy.tls, subject_alt_names=())
            made = changed(contract, rule, traffic_policy=dataclasses.replace(policy, tls=tls))
            at = rule.at("spec", "trafficPolicy", "tls", "subjectAltNames")
            yield Mutant("remove-san", f"subjectAltNames of {rule.host} are gone", at, made, say)
        for index, level in enumerate(policy.port_level):
            if level.tls is not None and level.tls.subject_alt_names:
                tls = dataclasses.replace(level.tls, subject_alt_names=())
                levels = list(policy.port_level)
                levels[index] = dataclasses.replace(level, tls=tls)
                left = dataclasses.replace(policy, port_level=tuple(levels))
                at = rule.at(
                    "spec", "trafficPolicy", "portLevelSettings", index, "tls", "subjectAltNames"
                )
                change = f"subjectAltNames of {rule.host} on port {level.port} are gone"
                made = changed(contract, rule, traffic_policy=left)
                yield Mutant("remove-san", change, at, made, say)


def _fields_of(
    contract: Contract, service: VirtualService, index: int, route: HttpRoute
) -> Iterator[Mutant]:
    defaults: dict[str, Any] = {it.name: it.default for it in dataclasses.fields(route)}
    for name in _OF_ROUTES:
        if getattr(route, name) == defaults[name]:
            continue
        routes = list(service.http)
        routes[index] = dataclasses.replace(route, **{name: defaults[name]})
        yield Mutant(
            "remove-field",
            f"{name} of http[{index}] of VirtualService {service.metadata.name} is gone",
            service.at("spec", "http", index, _camel(name)),
            changed(contract, service, http=tuple(routes)),
            _of_field(contract, service.hosts[0] if service.hosts else "", name),
        )


def _removed(contract: Contract, rule: DestinationRule, path: Any, **values: Any) -> Mutant:
    names = [it for it in path if isinstance(it, str)]
    text = ".".join(f"{it}" for it in names).replace("subsets.trafficPolicy", "subsets")
    say = _of_field(contract, qualified_host(rule.host, rule.metadata.namespace), *names)
    return Mutant(
        "remove-field",
        f"{text} of DestinationRule {rule.metadata.name} is gone",
        rule.at("spec", *path),
        changed(contract, rule, **values),
        say,
    )


def _removals(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[Any, Any]]:
    """A tree of settings with one of them left out, each in turn, with the path of that one.

    What stands alone in its block is left out with the block, and not once more by itself.
    """
    if value is None:
        return
    said = [it for it in dataclasses.fields(value) if getattr(value, it.name) != _default(it)]
    for it in said:
        inner = getattr(value, it.name)
        here = (*path, "portLevelSettings" if it.name == "port_level" else _camel(it.name))
        if it.name == "port_level":
            for index, level in enumerate(inner):
                left = dataclasses.replace(value, port_level=without(inner, index))
                yield (*here, index), left
                for deeper, less in _removals(level, (*here, index)):
                    levels = (*inner[:index], less, *inner[index + 1 :])
                    yield deeper, dataclasses.replace(value, port_level=levels)
            continue
        if it.default is dataclasses.MISSING and it.default_factory is dataclasses.MISSING:
            continue  # it cannot be left out
        if len(said) > 1 or len(path) < 2 or path[-1] in {"tcp", "http"}:
            yield here, dataclasses.replace(value, **{it.name: _default(it)})
        if it.name not in _WHOLE and dataclasses.is_dataclass(inner) and _many(inner):
            for deeper, less in _removals(inner, here):
                yield deeper, dataclasses.replace(value, **{it.name: less})


def _many(value: Any) -> bool:
    """Whether a block says more than one thing, at whatever depth."""
    count = 0
    for it in dataclasses.fields(value):
        inner = getattr(value, it.name)
        if inner != _default(it):
            count += 1
            if dataclasses.is_dataclass(inner) and _many(inner):
                return True
    return count > 1


def _default(it: dataclasses.Field[Any]) -> Any:
    if it.default_factory is not dataclasses.MISSING:
        return it.default_factory()
    return it.default


def _camel(name: str) -> str:
    return re.sub(r"_(\w)", lambda found: found[1].upper(), name)


def _port_of(contract: Contract, host: str, wanted: str) -> Port:
    """A declared port of a host: one of ``wanted`` protocol where there is one."""
    ports = [
        port for entry in contract.service_entries if host in map(inside, entry.hosts)
        for port in entry.ports
    ]  # fmt: skip
    fitting = [it for it in ports if it.protocol.upper() == wanted]
    return next(iter(fitting or ports), Port(80, "http", "HTTP"))


def _of_route(contract: Contract, service: VirtualService, route: Any) -> str:
    """What a test would say of a route: where it leads, or what it answers."""
    host = inside(service.hosts[0]) if service.hosts else "the host"
    match = route.match[0] if route.match else None
    path = getattr(getattr(match, "uri", None), "value", "")
    port = _port_of(contract, host, "HTTP")
    call = call_of(host, port)[:-2] + path + '")'
    answers = getattr(route, "direct_response", None) or getattr(route, "redirect", None)
    if answers is not None:
        status = getattr(answers, "status", 0) or getattr(answers, "code", 0) or 301
        return f"assert {call}.status == {status}"
    if route.route:
        to = qualified_host(route.route[0].destination.host, service.metadata.namespace)
        return f'assert "{to}" in {call}.cluster'
    return f"assert {call}.reachable"


_SAYINGS = {
    "timeout": 'egress_upstreams["{host}"].silent(); assert "UT" in {call}.flags',
    "retries": 'egress_upstreams["{host}"].reset(); assert {call}.attempts == 1 + the retries',
    "rewrite": "assert {call}.requests[0].path == the rewritten path",
    "fault": 'assert "FI" in {call}.flags',
    "mirror": 'assert egress_upstreams["the mirror"].wait_for_requests()',
    "mirrors": 'assert egress_upstreams["the mirror"].wait_for_requests()',
    "headers": "assert {call}.requests[0].headers.get(name) == the value",
    "tls": "assert {call}.reachable, and that it came with TLS",
    "connectTimeout": 'egress_upstreams["{host}"].hang(); assert "UF" in {call}.flags in time',
    "outlierDetection": 'egress_upstreams["{host}"].fail(503, times=9); '
    'assert "UH" in {call}.flags after so many',
    "maxConnections": 'assert any("UO" in it.flags for it in {many})',
    "http1MaxPendingRequests": 'assert any("UO" in it.flags for it in {many})',
    "http2MaxRequests": 'assert any("UO" in it.flags for it in {many})',
    "loadBalancer": "assert {many}.by(...) is shared out as declared",
}


def _of_field(contract: Contract, host: str, *names: str) -> str:
    name = inside(host) if host else "the host"
    call = call_of(name, _port_of(contract, name, "HTTP"))
    for field in reversed(names):
        if field in _SAYINGS:
            many = f"{call[:-1]}, n=20, concurrency=20)"
            return _SAYINGS[field].format(host=name, call=call, many=many)
    return f"a test of {names[-1]} on {call} (docs/behaviour.md shows how)"

"""Delegates that are not there, and delegates that nobody refers to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pytest_egress.contract.position import Problem
from pytest_egress.contract.report import Path
from pytest_egress.contract.suggest import nearest
from pytest_egress.contract.virtual_service.lint.declared import Declared
from pytest_egress.contract.virtual_service.lint.walk import warning
from pytest_egress.contract.virtual_service.resource import VirtualService

__all__ = ["lint_delegates"]


def lint_delegates(services: Iterable[VirtualService], declared: Declared) -> Iterator[Problem]:
    """Istiod drops a route whose delegate it does not find."""
    if "VirtualService" in declared.refused:
        return
    used: set[str] = set()
    for service in services:
        for i, route in enumerate(service.http if service.hosts else ()):
            if route.delegate is None:
                continue
            namespace = route.delegate.namespace or service.metadata.namespace
            key = f"{namespace}/{route.delegate.name}"
            used.add(key)
            flaw = _flaw(key, service.metadata.namespace, declared)
            if flaw is not None:
                path: Path = ("spec", "http", i, "delegate", "name")
                message = f"{flaw}: Istio drops this route"
                yield warning(service, "lint/virtual-service-delegate", message, path)
    for key, service in declared.virtual_services.items():
        if not service.hosts and key not in used:
            message = "no hosts, and no other VirtualService delegates to it: it has no effect"
            yield warning(service, "lint/virtual-service-unused-delegate", message, ("spec",))


def _flaw(key: str, namespace: str, declared: Declared) -> str | None:
    delegate = declared.virtual_services.get(key)
    if delegate is None:
        choices = [name for name, it in declared.virtual_services.items() if not it.hosts]
        near = nearest(key, choices, cutoff=0.75)
        return f'no VirtualService "{key}"' + (f' (did you mean "{near}"?)' if near else "")
    if delegate.hosts:
        return f'"{key}" at {delegate.at("spec", "hosts")} has hosts, which a delegate has not'
    exported = delegate.export_to
    own = delegate.metadata.namespace
    names = {own if name == "." else name for name in exported}
    if exported and not names & {"*", namespace}:
        place = delegate.at("spec", "exportTo")
        return f'"{key}" is not exported to namespace {namespace} (exportTo at {place})'
    return None

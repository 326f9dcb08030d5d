"""Istio's own analyzers, as far as they concern egress: what ``istioctl analyze`` would say.

Each finding has Istio's code and this project's words and positions. Where ``istioctl analyze`` is
known to be wrong nothing is said; see docs/lint.md for these cases.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from pytest_egress.contract.analyzers.finding import Finding
from pytest_egress.contract.analyzers.services import Services
from pytest_egress.contract.resources import MeshConfig, Resource

__all__ = ["Finding", "analyze"]


def analyze(
    resources: Sequence[Resource], mesh: MeshConfig, refused: Collection[str] = ()
) -> Iterator[Finding]:
    """What Istio's analyzers find in the resources of a contract.

    Args:
        resources: those without errors.
        mesh: the mesh that they are for.
        refused: kinds of which an object could not be read: what is missing may be there.
    """
    from pytest_egress.contract.analyzers import (
        destination_rules,
        service_entries,
        virtual_services,
        workloads,
    )

    services = Services(resources, refused)
    yield from service_entries.analyze(resources, mesh)
    yield from destination_rules.analyze(resources, services)
    yield from virtual_services.analyze(resources, services, refused)
    yield from workloads.analyze(resources, refused)

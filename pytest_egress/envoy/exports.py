"""Which services exportTo shows to a namespace."""

from __future__ import annotations

from collections.abc import Iterable

from pytest_egress.contract.resources import MeshConfig
from pytest_egress.envoy.services import Service

__all__ = ["is_visible", "visible_services"]


def visible_services(
    services: Iterable[Service], namespace: str, mesh: MeshConfig
) -> list[Service]:
    """The services that exportTo shows to a namespace.

    Those exported to it by name or privately come before the public ones, so a private entry is
    met before an older public one. ``*`` wins over everything, then ``~`` hides from everyone.
    """
    targeted: list[Service] = []
    public: list[Service] = []
    for service in services:
        export_to = _export_to(service, mesh)
        if "*" in export_to:
            public.append(service)
        elif "~" not in export_to and _exported(service, export_to, namespace):
            targeted.append(service)
    return targeted + public


def is_visible(service: Service, namespace: str, mesh: MeshConfig) -> bool:
    """Whether a service may be used that is looked up by name; ``~`` hides nothing here."""
    export_to = _export_to(service, mesh)
    return "*" in export_to or _exported(service, export_to, namespace)


def _export_to(service: Service, mesh: MeshConfig) -> tuple[str, ...]:
    return service.entry.export_to or mesh.default_service_export_to or ("*",)


def _exported(service: Service, export_to: tuple[str, ...], namespace: str) -> bool:
    return namespace in export_to or ("." in export_to and service.namespace == namespace)

"""VirtualServices that the tests of this directory start from."""

from __future__ import annotations

from pytest_egress.contract import loads
from pytest_egress.contract.virtual_service.resource import VirtualService

__all__ = ["ROUTE", "document", "http_route", "load_one"]

ROUTE = "route: [{destination: {host: api.weather.example}}]"


def document(spec: str, *, name: str = "weather", annotations: str = "") -> str:
    """A VirtualService with this spec (lines without indentation), which begins in line 4."""
    metadata = f"{{name: {name}, namespace: shop{annotations}}}"
    lines = "".join(f"  {line}\n" for line in spec.splitlines())
    return (
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\n"
        f"metadata: {metadata}\nspec:\n{lines}"
    )


def http_route(fields: str) -> str:
    """A VirtualService with one http route of these fields (in YAML's flow style, in line 7)."""
    return document(f"hosts: [api.weather.example]\nhttp:\n- {{{fields}}}")


def load_one(text: str) -> VirtualService:
    """The one VirtualService of a text."""
    (service,) = loads(text).virtual_services
    return service

"""What the parts of a generated contract have in common: few names, so that they meet."""

from __future__ import annotations

from typing import Any

from tests.conformance.generate.drawing import Choices, Json

__all__ = [
    "ADDRESSES",
    "EXACT_HOSTS",
    "GATEWAY_SERVICE",
    "HTTP_PROTOCOLS",
    "LABELS",
    "NAMESPACES",
    "OPAQUE_PROTOCOLS",
    "PORTS",
    "SUBSETS",
    "TLS_PROTOCOLS",
    "WILD_HOSTS",
    "export_to",
    "group",
    "inside",
    "resource",
    "some_namespace",
]

NAMESPACES = ("default", "shop", "istio-system", "other")
EXACT_HOSTS = (
    "a.example.com",
    "b.example.com",
    "x.a.example.com",
    "api.vendor.io",
    "db.vendor.io",
    "Mixed.Vendor.io",
    "pay.shop.svc.cluster.local",
)
WILD_HOSTS = ("*.example.com", "*.vendor.io", "*.a.example.com", "*.io")
GATEWAY_SERVICE = "istio-egressgateway.istio-system.svc.cluster.local"
PORTS = (80, 443, 8080, 8443, 5432, 9090, 27017, 3306, 15001, 15021)
HTTP_PROTOCOLS = ("HTTP", "http", "GRPC", "HTTP2", "GRPC-Web", "HTTP_PROXY")
TLS_PROTOCOLS = ("TLS", "HTTPS", "https")
OPAQUE_PROTOCOLS = ("TCP", "tcp", "", "MONGO", "REDIS", "MySQL", "UDP")
ADDRESSES = ("240.1.0.1", "240.1.0.2", "240.1.0.3", "10.9.0.9")
LABELS: tuple[dict[str, str], ...] = (
    {"app": "web"},
    {"app": "batch"},
    {"app": "web", "version": "v1"},
    {"version": "v2"},
)
SUBSETS = ("v1", "v2", "canary")
_VERSIONS = ("v1", "v1beta1", "v1alpha3")


def resource(
    choices: Choices, kind: str, index: int, spec: Json, namespace: str = "", **metadata: Any
) -> Json:
    """An object of a kind, of any version and mostly of an age of its own."""
    about: Json = {
        "name": f"{kind.lower()}-{index}",
        "namespace": namespace or some_namespace(choices),
        **metadata,
    }
    if choices.settled or choices.chance(75):
        # Older than the oracle takes a resource to be that says nothing of its age: with us that
        # is one yet to be created.
        about["creationTimestamp"] = f"2023-01-{choices.day():02}T00:00:00Z"
    return {
        "apiVersion": f"networking.istio.io/{choices.one(_VERSIONS)}",
        "kind": kind,
        "metadata": about,
        "spec": spec,
    }


def some_namespace(choices: Choices) -> str:
    """Mostly one and the same, so that resources concern each other."""
    return choices.weighted((("default", 6), ("shop", 2), ("istio-system", 2), ("other", 1)))


def export_to(choices: Choices, spec: Json, *, nobody: bool = True) -> None:
    """Who may see it: ``nobody`` may be said of a ServiceEntry only."""
    if choices.chance(30):
        several = choices.some(NAMESPACES, 1, 2)
        options = (["*"], ["."], several, *([["~"]] if nobody else []))
        spec["exportTo"] = choices.one(options)


def group(protocol: str) -> str:
    """Whether Envoy reads it as ``http``, as ``tls`` or as ``tcp``."""
    name = protocol.lower()
    if name in {"http", "grpc", "http2", "grpc-web", "http_proxy"}:
        return "http"
    return "tls" if name in {"tls", "https"} else "tcp"


def inside(host: str) -> str:
    """The host, or one that its wildcard stands for."""
    return "w" + host[1:] if host.startswith("*") else host

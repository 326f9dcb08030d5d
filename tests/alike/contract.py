"""The contract that every backend enforces in the suite."""

from __future__ import annotations

from tests.observed import documents, entry

__all__ = ["CONTRACT"]

CONTRACT = documents(
    entry(
        "weather",
        "api.weather.com",
        {80: "HTTP", 443: "TLS", 50051: "GRPC", 5432: "TCP"},
        location="MESH_EXTERNAL",
    ),
    entry("dead", "dead.weather.com", {80: "HTTP", 443: "TLS"}, location="MESH_EXTERNAL"),
    entry("wild", "*.wild.com", {80: "HTTP", 443: "TLS"}, "NONE", location="MESH_EXTERNAL"),
    entry(
        "static",
        "static.weather.com",
        {80: "HTTP"},
        "STATIC",
        location="MESH_EXTERNAL",
        endpoints=[{"address": "203.0.113.50", "ports": {"p80": 8888}}],
    ),
    entry("private", "private.weather.com", {443: "TLS"}, namespace="other", exportTo=["."]),
)

"""Checked plain values to the typed resources."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pytest_egress.contract.report import Report
from pytest_egress.contract.resources import (
    EgressListener,
    Endpoint,
    Locate,
    Metadata,
    OutboundTrafficPolicy,
    Port,
    ProxyDestination,
    ServiceEntry,
    Sidecar,
    SidecarPort,
    WorkloadEntry,
)

__all__ = ["build_service_entry", "build_sidecar", "build_workload_entry"]


def build_service_entry(
    metadata: Metadata, spec: dict[str, Any], status: Any, locate: Locate, report: Report
) -> ServiceEntry:
    """A ServiceEntry from a spec without errors."""
    return ServiceEntry(
        metadata,
        hosts=tuple(spec["hosts"]),
        addresses=tuple(spec.get("addresses", ())),
        ports=tuple(
            Port(p["number"], p["name"], p.get("protocol", ""), p.get("targetPort", 0))
            for p in spec.get("ports", ())
        ),
        location=spec.get("location", "MESH_EXTERNAL"),
        resolution=spec.get("resolution", "NONE"),
        endpoints=tuple(_endpoint(e) for e in spec.get("endpoints", ())),
        export_to=tuple(spec.get("exportTo", ())),
        subject_alt_names=tuple(spec.get("subjectAltNames", ())),
        workload_selector=_selector(spec),
        status_addresses=_status_addresses(status, report) if status else (),
        locate=locate,
    )


def build_workload_entry(
    metadata: Metadata, spec: dict[str, Any], _status: Any, locate: Locate, _report: Report
) -> WorkloadEntry:
    """A WorkloadEntry from a spec without errors."""
    return WorkloadEntry(metadata, _endpoint(spec), locate=locate)


def build_sidecar(
    metadata: Metadata, spec: dict[str, Any], _status: Any, locate: Locate, _report: Report
) -> Sidecar:
    """The outbound half of a Sidecar from a spec without errors."""
    policy = spec.get("outboundTrafficPolicy")
    return Sidecar(
        metadata,
        workload_selector=_selector(spec),
        egress=tuple(_listener(listener) for listener in spec.get("egress", ())),
        outbound_traffic_policy=None if policy is None else _policy(policy),
        locate=locate,
    )


def _endpoint(values: dict[str, Any]) -> Endpoint:
    return Endpoint(
        address=values.get("address", ""),
        ports=MappingProxyType(values.get("ports", {})),
        labels=MappingProxyType(values.get("labels", {})),
        network=values.get("network", ""),
        locality=values.get("locality", ""),
        weight=values.get("weight", 0),
        service_account=values.get("serviceAccount", ""),
    )


def _listener(values: dict[str, Any]) -> EgressListener:
    port = values.get("port")
    return EgressListener(
        hosts=tuple(values["hosts"]),
        port=None
        if port is None
        else SidecarPort(port.get("number", 0), port.get("protocol", ""), port.get("name", "")),
        bind=values.get("bind", ""),
        capture_mode=values.get("captureMode", "DEFAULT"),
    )


def _policy(values: dict[str, Any]) -> OutboundTrafficPolicy:
    proxy = values.get("egressProxy")
    destination = None
    if proxy is not None:
        port = proxy.get("port", {}).get("number", 0)
        destination = ProxyDestination(proxy["host"], port, proxy.get("subset", ""))
    return OutboundTrafficPolicy(values.get("mode", "REGISTRY_ONLY"), destination)


def _selector(spec: dict[str, Any]) -> Mapping[str, str] | None:
    selector = spec.get("workloadSelector")
    return None if selector is None else MappingProxyType(selector.get("labels", {}))


def _status_addresses(status: dict[str, Any], report: Report) -> tuple[tuple[str, str], ...]:
    """``status.addresses``, which istiod's own controller writes; the CRD leaves it unchecked."""
    found: list[tuple[str, str]] = []
    addresses = status.get("addresses", [])
    for i, item in enumerate(addresses if isinstance(addresses, list) else [None]):
        host, value = _host_and_value(item)
        if isinstance(host, str) and isinstance(value, str):
            found.append((host, value))
        else:
            message = "not an allocated address (host and value): istiod ignores it"
            report.warning("lint/status-addresses", message, ("status", "addresses", i))
    return tuple(found)


def _host_and_value(item: Any) -> tuple[Any, Any]:
    return (item.get("host", ""), item.get("value")) if isinstance(item, dict) else ("", None)

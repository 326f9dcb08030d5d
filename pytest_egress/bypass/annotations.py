"""A pod's annotations that change what is redirected, checked as Istio's injection checks them."""

from __future__ import annotations

import difflib
import ipaddress
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_egress.bypass.redirection import Redirection
from pytest_egress.contract.contract import Contract
from pytest_egress.contract.kubernetes.resource import KubernetesPod
from pytest_egress.contract.position import Position
from pytest_egress.contract.resources import Workload

__all__ = ["AnnotationError", "Annotations", "annotations_of", "redirection"]

_TRAFFIC = "traffic.sidecar.istio.io/"
_MODE, _INJECT = "sidecar.istio.io/interceptionMode", "sidecar.istio.io/inject"
_LISTS = (
    "excludeOutboundPorts",
    "includeOutboundPorts",
    "excludeOutboundIPRanges",
    "includeOutboundIPRanges",
)
# Which interface a packet leaves by is not known here.
_BY_INTERFACE = ("excludeInterfaces", "kubevirtInterfaces")
_INBOUND = ("includeInboundPorts", "excludeInboundPorts")


class AnnotationError(ValueError):
    """What is wrong with an annotation, and what was expected."""


@dataclass(frozen=True, slots=True)
class Annotations:
    """The annotations of one pod.

    Attributes:
        pod: whose they are, in words.
        values: as written.
        position: where one of them stands; None: in a marker.
    """

    pod: str
    values: Mapping[str, str]
    position: Callable[[str], Position | None]


def annotations_of(contract: Contract, workload: Workload) -> Iterator[Annotations]:
    """Those of the pods of a contract that are the workload: its namespace and all of its labels.

    Without labels a workload is no pod in particular.
    """
    for pod in contract.kubernetes_pods:
        labels = pod.metadata.labels
        same = pod.metadata.namespace == workload.namespace and workload.labels
        if same and workload.labels.items() <= labels.items():
            yield Annotations(
                f"{pod.metadata.namespace}/{pod.metadata.name}",
                {**pod.metadata.annotations, **_label(pod)},
                _position(pod),
            )


def redirection(found: Annotations, *, dns_capture: bool = False) -> Redirection:
    """What they ask for.

    Raises:
        AnnotationError: one cannot be read, or cannot be decided here.
    """
    lists: dict[str, tuple[Any, ...] | None] = {}
    positions: dict[str, Position] = {}
    for name, value in found.values.items():
        place = found.position(name)
        short = name.removeprefix(_TRAFFIC)
        if not name.startswith(_TRAFFIC) or short in _INBOUND:
            continue
        if short in _BY_INTERFACE:
            raise _error(place, f"{name}: which interface a packet leaves by is not known here")
        if short not in _LISTS:
            close = difflib.get_close_matches(short, [*_LISTS, *_INBOUND], n=1, cutoff=0.4)
            hint = f"; did you mean {_TRAFFIC}{close[0]}?" if close else ""
            raise _error(place, f"{name}: Istio has no such annotation{hint}")
        if place is not None:
            positions[short] = place
        read = _ports if short.endswith("Ports") else _ranges
        lists[short] = read(name, value, place)
    return Redirection(
        lists.get("excludeOutboundPorts") or (),
        lists.get("includeOutboundPorts") or (),
        lists.get("excludeOutboundIPRanges") or (),
        lists.get("includeOutboundIPRanges"),
        dns_capture,
        positions,
        _none(found),
    )


def _none(found: Annotations) -> str:
    """Why nothing of the pod is redirected; empty: it is."""
    if found.values.get(_INJECT, "").lower() in {"false", "no", "off", "0", "n"}:
        return f"{_INJECT} is {found.values[_INJECT]}: the pod has no sidecar"
    if found.values.get(_MODE) == "NONE":
        return f"{_MODE} is NONE: nothing is redirected"
    return ""


def _ports(name: str, value: str, place: Position | None) -> tuple[int, ...]:
    if not value.strip():
        return ()
    ports = []
    for part in value.split(","):
        text = part.strip()
        if not text.isdecimal() or not 0 <= int(text) <= 65_535:
            raise _error(place, f"{name}: {text!r} is no port: expected numbers, such as 443,5432")
        ports.append(int(text))
    return tuple(ports)


def _ranges(
    name: str, value: str, place: Position | None
) -> tuple[ipaddress.IPv4Network, ...] | None:
    """The IPv4 ranges; None for the ``*`` that only an inclusion may be."""
    if value == "*" and name.endswith("includeOutboundIPRanges"):
        return None
    networks = []
    for text in filter(None, value.split(",")):
        network = _network(text) if "/" in text else None
        if network is None:
            expected = "expected CIDR blocks, such as 10.0.0.0/8,203.0.113.7/32"
            raise _error(place, f"{name}: {text!r} is no range: {expected}")
        if isinstance(network, ipaddress.IPv4Network):
            networks.append(network)
    return tuple(networks)


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _label(pod: KubernetesPod) -> dict[str, str]:
    """Whether it is injected, where a label says so: that wins over the annotation."""
    value = pod.metadata.labels.get(_INJECT)
    return {} if value is None else {_INJECT: value}


def _position(pod: KubernetesPod) -> Callable[[str], Position | None]:
    def find(name: str) -> Position:
        own: tuple[str | int, ...] = ("metadata", "annotations", name)
        found = pod.at("spec", "template", *own)  # where a Deployment has those of its pods
        return pod.at(*own) if found == pod.at("spec", "template") else found

    return find


def _error(place: Position | None, message: str) -> AnnotationError:
    return AnnotationError(f"{place}: {message}" if place is not None else message)

"""Locality: which places are preferred, as priorities and weights of a cluster's localities."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pytest_egress.contract.destination_rule.resource import (
    Distribute,
    Failover,
    LoadBalancer,
    LocalityLb,
    ZoneAwareLb,
)
from pytest_egress.contract.resources import Workload
from pytest_egress.envoy.cluster_draft import ClusterContext, ClusterDraft
from pytest_egress.envoy.instances import Instance, topology_labels
from pytest_egress.envoy.localities import Locality, locality_json
from pytest_egress.envoy.services import Service
from pytest_egress.envoy.traffic_policy.effective import endpoint_policy
from pytest_egress.envoy.traffic_policy.refusal import refuse

__all__ = ["prefer_localities", "prioritized_endpoints"]

_NETWORK = "topology.istio.io/network"
_ZONE = (_NETWORK, "topology.kubernetes.io/region", "topology.kubernetes.io/zone")
_DISTRIBUTIONS = {
    "zone": LocalityLb(failover_priority=_ZONE),
    "node": LocalityLb(
        failover_priority=(*_ZONE, "topology.istio.io/subzone", "kubernetes.io/hostname")
    ),
}
_PLACE = ("region", "zone", "sub_zone")
_UINT32 = 2**32


def prefer_localities(
    draft: ClusterDraft, lb: LoadBalancer | None, context: ClusterContext
) -> None:
    """The locality settings of a cluster, and of its endpoints where it is a DNS cluster's."""
    setting, forced = _effective(lb, draft.service, context)
    if setting is None:
        return
    cluster = draft.cluster
    fails_over = forced or "outlier_detection" in cluster
    if isinstance(setting, ZoneAwareLb):
        cluster["common_lb_config"] = {
            **cluster["common_lb_config"],
            "zone_aware_lb_config": _zone_aware(setting),
        }
    elif setting.distribute or (fails_over and (setting.failover or setting.failover_priority)):
        cluster["common_lb_config"] = {
            **cluster["common_lb_config"],
            "locality_weighted_lb_config": {},
        }
    if draft.localities is None:
        return
    # Of a subset's DNS endpoints istiod has no labels at hand.
    workload = None if draft.subset else context.workload
    if workload is not None and len(draft.localities) > 1:
        wanted = _failover_labels(setting, fails_over=fails_over)
        if wanted and _labels(workload):
            message = (
                "istiod 1.31 fails on failoverPriority for a DNS host whose endpoints are in"
                " several localities: give them one locality, or use resolution STATIC"
            )
            refuse(message, draft, "load_balancer")
    draft.localities = _prioritized(
        draft.localities, setting, context.workload, labelled=workload, fails_over=fails_over
    )


def prioritized_endpoints(
    localities: list[Locality], draft: ClusterDraft, context: ClusterContext
) -> list[Locality]:
    """The localities of an EDS answer; here ``meshConfig.defaultTrafficPolicy`` has no say."""
    policy = None
    if draft.rule is not None:
        policy = endpoint_policy(draft.rule, draft.port.number, draft.subset)
    lb = policy.load_balancer if policy is not None else None
    setting, forced = _effective(lb, draft.service, context)
    if setting is None:
        return localities
    fails_over = forced or (policy is not None and policy.outlier_detection is not None)
    workload = context.workload
    return _prioritized(localities, setting, workload, labelled=workload, fails_over=fails_over)


def _effective(
    lb: LoadBalancer | None, service: Service, context: ClusterContext
) -> tuple[LocalityLb | ZoneAwareLb | None, bool]:
    """The setting that counts, and whether failover needs no outlier detection.

    The rule's comes first, then the service's traffic distribution, then the mesh's.
    """
    setting: LocalityLb | None = None
    if lb is not None:
        if lb.zone_aware is not None:
            return lb.zone_aware, False
        setting = lb.locality
    if setting is None:
        distribution = service.traffic_distribution
        if distribution is not None:
            return _DISTRIBUTIONS[distribution], True
        if context.mesh.zone_aware_lb is not None:
            return context.mesh.zone_aware_lb, False
        setting = context.mesh.locality_lb or LocalityLb()
    return (None if setting.enabled is False else setting), False


def _zone_aware(setting: ZoneAwareLb) -> dict[str, Any]:
    built: dict[str, Any] = {}
    if setting.enabled is False:
        built["routing_enabled"] = {}  # 0 %
    if setting.min_cluster_size is not None:
        built["min_cluster_size"] = str(setting.min_cluster_size)
    return built


def _failover_labels(setting: LocalityLb | ZoneAwareLb, *, fails_over: bool) -> tuple[str, ...]:
    """The labels that order endpoints, where labels do."""
    if isinstance(setting, ZoneAwareLb):
        return setting.failover_priority if setting.enabled is not False else ()
    return setting.failover_priority if fails_over and not setting.distribute else ()


def _prioritized(
    localities: Sequence[Locality],
    setting: LocalityLb | ZoneAwareLb,
    workload: Workload,
    *,
    labelled: Workload | None,
    fails_over: bool,
) -> list[Locality]:
    """Copies of the localities with priorities or weights, split where labels say so."""
    found = [Locality(dict(it.json), it.members) for it in localities]
    wanted = _failover_labels(setting, fails_over=fails_over)
    if wanted and labelled is not None and _labels(labelled):
        found = _by_labels(found, _labels(labelled), wanted)
    own = locality_json(workload.locality)
    if isinstance(setting, ZoneAwareLb):
        if setting.enabled is not False:
            _rank(found, (_region_distance(it, own, setting.failover) for it in found), 3)
    elif setting.distribute:
        _distribute(found, own, setting.distribute)
    elif fails_over and (setting.failover or not setting.failover_priority):
        _rank(found, (_distance(it, own, setting.failover) for it in found), 5)
    return found


def _labels(workload: Workload) -> Mapping[str, str]:
    """The workload's labels and those of its place, as istiod knows them."""
    return {**workload.labels, **dict(topology_labels(workload.locality))}


def _rank(localities: Iterable[Locality], distances: Iterable[int], step: int) -> None:
    """Give priorities without gaps, the present ones counting ``step`` times as much."""
    pairs = [
        (it, it.json.get("priority", 0) * step + distance)
        for it, distance in zip(localities, distances, strict=True)
    ]
    ranks = {value: rank for rank, value in enumerate(sorted({value for _, value in pairs}))}
    for locality, value in pairs:
        locality.json.pop("priority", None)
        if ranks[value]:
            locality.json["priority"] = ranks[value]


def _distance(locality: Locality, own: Mapping[str, str], failover: Iterable[Failover]) -> int:
    """0 in the same place, 1 in the same zone, 2 in the same region, 3 and 4 further away."""
    there = locality.json["locality"]
    for distance, part in ((3, "region"), (2, "zone"), (1, "sub_zone")):
        if there.get(part, "") != own.get(part, ""):
            if part == "region" and _avoids(there, own, failover):
                return 4
            return distance
    return 0


def _region_distance(
    locality: Locality, own: Mapping[str, str], failover: Iterable[Failover]
) -> int:
    """0 in the workload's region, 1 in the one it fails over to, 2 elsewhere."""
    there = locality.json["locality"]
    region = own.get("region", "")
    if there.get("region", "") == region:
        return 0
    target = next((it.to for it in failover if it.source == region), None)
    return 1 if target is not None and there.get("region", "") == target else 2


def _avoids(there: Mapping[str, str], own: Mapping[str, str], failover: Iterable[Failover]) -> bool:
    """Whether the workload's region fails over to another one than this."""
    region = own.get("region", "")
    target = next((it.to for it in failover if it.source == region), None)
    return target is not None and there.get("region", "") != target


def _distribute(
    localities: list[Locality], own: Mapping[str, str], distribute: Iterable[Distribute]
) -> None:
    """Set the weights of the first distribution that is for the workload's place.

    A target's weight is shared by the localities it covers; those that none covers are emptied.
    """
    setting = next((it for it in distribute if _covers(it.source, own)), None)
    if setting is None:
        return
    rest = list(localities)
    for pattern, weight in setting.to.items():
        covered = [it for it in rest if _covers(pattern, it.json["locality"])]
        rest = [it for it in rest if it not in covered]
        total = sum(it.json["load_balancing_weight"] for it in covered) % _UINT32
        for locality in covered:
            share = (locality.json["load_balancing_weight"] * weight) % _UINT32 / total
            if share:
                locality.json["load_balancing_weight"] = math.ceil(share)
    for locality in rest:
        del locality.json["lb_endpoints"]


def _covers(pattern: str, locality: Mapping[str, str]) -> bool:
    """Whether ``region/zone/subzone``, with ``*`` for any and parts left out, covers a place."""
    region, zone, subzone = [*pattern.split("/"), "", ""][:3]
    return (
        region in {"*", locality.get("region", "")}
        and zone in {"*", "", locality.get("zone", "")}
        and subzone in {"*", "", locality.get("sub_zone", "")}
    )


def _by_labels(
    localities: Iterable[Locality], own: Mapping[str, str], wanted: Sequence[str]
) -> list[Locality]:
    """Split localities by how many of the wanted labels their endpoints share with the workload."""
    split = [it for locality in localities for it in _split(locality, own, wanted)]
    _rank([it for it, _ in split], (distance for _, distance in split), 1)
    return [it for it, _ in split]


def _split(
    locality: Locality, own: Mapping[str, str], wanted: Sequence[str]
) -> Iterator[tuple[Locality, int]]:
    groups: dict[int, list[int]] = {}
    for index, member in enumerate(locality.members):
        groups.setdefault(_label_distance(member, own, wanted), []).append(index)
    endpoints = locality.json["lb_endpoints"]
    for distance, indexes in sorted(groups.items()):
        picked = [endpoints[index] for index in indexes]
        weight = sum(it["load_balancing_weight"] for it in picked) % _UINT32
        json = {**locality.json, "lb_endpoints": picked, "load_balancing_weight": weight}
        yield Locality(json, [locality.members[index] for index in indexes]), distance


def _label_distance(member: Instance, own: Mapping[str, str], wanted: Sequence[str]) -> int:
    """0 where all labels are shared; the earlier the first that is not, the further away.

    ``label=value`` asks for that value. Another network, where it is asked for first, puts an
    endpoint behind all others of its own network.
    """
    further = 0
    for index, text in enumerate(wanted):
        label, *values = text.split("=")
        value = values[0] if len(values) == 1 else own.get(label, "")
        if value == member.labels.get(label, ""):
            continue
        if index == 0 and label == _NETWORK:
            further = len(wanted)
            continue
        return further + len(wanted) - index
    return further

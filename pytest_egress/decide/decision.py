"""What a call meets, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from pytest_egress.envoy.virtual_service.rule import Rule

__all__ = ["Decision", "Step", "Verdict", "Weighted"]

Verdict = Literal[
    "allowed",
    "passthrough",
    "blocked",
    "no_cluster",
    "no_route",
    "redirect",
    "direct_response",
    "error",
]


@dataclass(frozen=True, slots=True)
class Step:
    """One choice of the proxy.

    Attributes:
        kind: ``listener``, ``filter chain``, ``virtual host``, ``route`` or ``cluster``.
        name: what was chosen, in Envoy's names; empty for what has no name, or where nothing was.
        why: the reason, as a part of a sentence.
    """

    kind: str
    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Weighted:
    """A cluster that is one of several, with its weight among them."""

    cluster: str
    weight: int


@dataclass(frozen=True, slots=True)
class Decision:
    """What a call meets, in istiod's names; empty where it meets none of that kind.

    Attributes:
        verdict: ``allowed`` (a declared cluster), ``passthrough`` (PassthroughCluster), ``blocked``
            (BlackHoleCluster, block_all), ``no_cluster`` (a cluster that does not exist),
            ``no_route``, ``redirect``, ``direct_response``; ``error`` where the proxy cannot read
            what is sent, or has no filter chain for it.
        route_index: the route's place in its virtual host; -1 where there is none.
        cluster: the only one; empty where ``clusters`` share the calls.
        clusters: those that share them.
        direct_response: the status that the proxy answers itself; 0 where it does not.
        no_endpoints: the cluster has nowhere to connect to.
        fault: what is injected, in words; empty where nothing is.
        rule: the VirtualService's rule that made the route or the filter chain.
        steps: the choices, in order.
    """

    verdict: Verdict
    listener: str = ""
    filter_chain: str = ""
    route_config: str = ""
    virtual_host: str = ""
    route: str = ""
    route_index: int = -1
    cluster: str = ""
    clusters: tuple[Weighted, ...] = ()
    direct_response: int = 0
    no_endpoints: bool = False
    fault: str = ""
    rule: Rule | None = None
    steps: tuple[Step, ...] = ()

    @property
    def all_clusters(self) -> tuple[str, ...]:
        """The names of every cluster that it may lead to."""
        if self.cluster:
            return (self.cluster,)
        return tuple(it.cluster for it in self.clusters)

    def to_json(self) -> dict[str, Any]:
        """The fields that are set, as recorded answers of istiod have them."""
        told: dict[str, Any] = {
            name: getattr(self, name)
            for name in (
                "verdict",
                "listener",
                "filter_chain",
                "route_config",
                "virtual_host",
                "route",
                "cluster",
                "direct_response",
            )
        }
        told["clusters"] = [{"cluster": it.cluster, "weight": it.weight} for it in self.clusters]
        return {name: value for name, value in told.items() if value}

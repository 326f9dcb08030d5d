"""A way around a sidecar as a value, and who stops each where Istio cannot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pytest_egress.contract.position import Position

__all__ = ["WAYS", "Bypass"]

#: Each way with who stops it.
WAYS: Mapping[str, str] = {
    "no-sidecar": "a NetworkPolicy that lets pods out to the egress gateway alone",
    "udp-443": "a NetworkPolicy that denies UDP out of the pod but for DNS (QUIC and HTTP/3)",
    "udp-53": "a NetworkPolicy that lets DNS out to the cluster's name server alone",
    "excluded-port": "take the port out of the annotation, or a NetworkPolicy",
    "excluded-range": "take the range out of the annotation, or a NetworkPolicy",
    "not-included": "take the annotation away: only what it includes is redirected",
    "user-1337": "an admission policy that forbids runAsUser and runAsGroup 1337 (Pod Security "
    "does not), and a NetworkPolicy",
    "raw-address": "outboundTrafficPolicy REGISTRY_ONLY, and addresses in every TCP entry",
    "other-address": "resolution DNS or STATIC in place of NONE, or an egress gateway",
    "inner-host": "an egress gateway that ends and originates TLS: only there the Host is seen",
}


@dataclass(frozen=True, slots=True)
class Bypass:
    """One way that was tried.

    Attributes:
        way: one of `WAYS`.
        target: what was tried, as a URL.
        open: whether it leads around the sidecar; None: that could not be shown.
        shown_by: ``proxy`` (a real Envoy under the contract), ``kernel`` (Istio's rules in a
            namespace) or ``rules`` (read from them).
        reason: why, one sentence.
        enforced_by: who stops it.
        position: of what opens it in the contract; None: nothing there does.
    """

    way: str
    target: str
    open: bool | None
    shown_by: str
    reason: str
    enforced_by: str
    position: Position | None = None

    def __str__(self) -> str:
        state = {True: "open", False: "closed", None: "unknown"}[self.open]
        where = f" {self.position}" if self.position else ""
        return f"{state} {self.way} {self.target}{where}: {self.reason}"

    def to_json(self) -> dict[str, Any]:
        """The way as plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Bypass:
        """The way of plain values."""
        place = values["position"]
        return cls(**{**values, "position": None if place is None else Position(**place)})

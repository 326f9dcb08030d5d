"""What the proxy and the outside say of one connection, as values.

The field names follow Envoy's access log operators; see section "Access logging" of its manual.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["BLACK_HOLE", "PASSTHROUGH", "Evidence", "Hop", "UpstreamProof", "Way"]

BLACK_HOLE = "BlackHoleCluster"
PASSTHROUGH = "PassthroughCluster"
# Where istiod sends what nothing declares; under REGISTRY_ONLY they lead to BLACK_HOLE.
_CATCH_ALL_ROUTES = {"allow_any", "allow_any_dynamic_dns"}
_CATCH_ALL_CHAINS = {
    "PassthroughFilterChain",
    "virtualOutbound-catchall-tcp",
    "virtualOutbound-catchall-tcp-http",
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """One access-log record of a proxy; empty strings stand for Envoy's ``-``.

    Attributes:
        kind: ``http`` for a request, ``connection`` for a connection (TCP and TLS, and every
            connection that ended before it became a request), ``opened`` for one whose upstream
            has just been connected.
        proxy: the gateway that made the record; empty: the pod's sidecar.
        source: the downstream address, unique per probe.
        destination: the original destination, ``ip:port``.
        listener: name of the listener that took the connection.
        route_config: name of its route configuration (RDS), for HTTP.
        cluster: the upstream cluster that was found.
        rule: the VirtualService's rule that made the route or filter chain, empty where none did:
            ``shop/weather http[0]``.
        answer: what that rule has the proxy answer itself: ``redirect`` or ``direct_response``.
        missing_cluster: the one that the route or filter chain names, where there is none such.
        response_flags: Envoy's RESPONSE_FLAGS as a set (their order means nothing).
        ends_tls: ``yes`` where the filter chain ends TLS itself, as a gateway's may.
        upstream_local_address: the address from which Envoy dialled the upstream.
        attempts: how often the upstream was tried: requests, or connects where there is none.
        request_id: the ``x-request-id`` that every attempt carried.
        duration: seconds from the first byte (of a connection: from its start) to the end.
        upstream_duration: seconds from the request's last byte to the answer's first, as the
            proxy saw them at the upstream; None: there was no answer.
    """

    kind: str
    source: str
    destination: str
    listener: str
    filter_chain: str = ""
    route_config: str = ""
    route: str = ""
    rule: str = ""
    answer: str = ""
    cluster: str = ""
    missing_cluster: str = ""
    upstream_host: str = ""
    upstream_local_address: str = ""
    response_code: int = 0
    response_flags: frozenset[str] = frozenset()
    response_code_details: str = ""
    connection_termination_details: str = ""
    upstream_transport_failure_reason: str = ""
    requested_server_name: str = ""
    authority: str = ""
    method: str = ""
    path: str = ""
    bytes_received: int = 0
    bytes_sent: int = 0
    downstream_transport_failure_reason: str = ""
    ends_tls: str = ""
    attempts: int = 0
    request_id: str = ""
    duration: float = 0.0
    upstream_duration: float | None = None
    proxy: str = ""

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Evidence:
        """Build from a logged record: the field names above, ``None`` where Envoy had nothing."""
        values: dict[str, Any] = {
            name: record[name] for name in cls.__dataclass_fields__ if record.get(name) is not None
        }
        for name in ("response_code", "bytes_received", "bytes_sent", "attempts"):
            values[name] = int(values.get(name) or 0)
        flags = str(values.get("response_flags", "-"))
        values["response_flags"] = frozenset(flags.split(",")) - {"-", ""}
        values["duration"] = (_number(values.get("duration")) or 0.0) / 1e3  # Envoy: milliseconds
        waited = _number(values.get("upstream_duration"))
        values["upstream_duration"] = None if waited is None else waited / 1e6  # microseconds
        return cls(**values)

    @property
    def undeclared(self) -> bool:
        """Whether the mesh passed it on although nothing declares it.

        That is PassthroughCluster or, by the name of the route or filter chain, what stands in
        its place: an ``egressProxy`` or the resolver of ALLOW_ANY_DYNAMIC_DNS.
        """
        if self.cluster in {"", BLACK_HOLE}:
            return False
        caught = self.route_of_istio in _CATCH_ALL_ROUTES or self.filter_chain in _CATCH_ALL_CHAINS
        return caught or self.cluster == PASSTHROUGH

    @property
    def route_of_istio(self) -> str:
        """The name of a route that istiod made by itself; a VirtualService may use any name."""
        return "" if self.rule else self.route

    @property
    def handshake_failed(self) -> bool:
        """Whether TLS that the filter chain itself ends brought nothing: it may not be there."""
        if self.kind != "connection" or not self.ends_tls:
            return False
        empty = not self.bytes_received and not self.bytes_sent
        return empty or bool(self.downstream_transport_failure_reason)

    @property
    def got_tls_for_http(self) -> bool:
        """Whether bytes came that are no HTTP request, as those of a handshake are."""
        return self.response_code_details == "http1.codec_error" and not self.ends_tls

    @property
    def answered_by_rule(self) -> bool:
        """Whether a rule of a VirtualService had the proxy answer in the host's place.

        A fault or a CORS policy of the rule may have answered before its own answer was due.
        """
        return bool(self.answer and self.response_code)

    @property
    def leads_nowhere(self) -> bool:
        """Whether the route or filter chain leads to a cluster that does not exist.

        An injected fault may have answered before that came to light.
        """
        fault = "FI" in self.response_flags and bool(self.missing_cluster) and not self.cluster
        return fault or "NC" in self.response_flags

    def __str__(self) -> str:
        """One line in the order of Istio's default log format, as a person would read it."""
        flags = ",".join(sorted(self.response_flags)) or "-"
        request = f'"{self.method} {self.path}" ' if self.kind == "http" else ""
        parts = [
            f"{request}{self.response_code} {flags}",
            self.response_code_details
            or self.connection_termination_details
            or self.upstream_transport_failure_reason
            or "-",
            f"authority={self.authority or '-'}",
            f"sni={self.requested_server_name or '-'}",
            f"dst={self.destination}",
            f"upstream={self.upstream_host or '-'}",
            f"cluster={self.cluster or '-'}",
            f"route={self.route or '-'}",
            *([f"rule={self.rule}"] if self.rule else []),
            f"listener={self.listener}",
            f"chain={self.filter_chain or '-'}",
        ]
        return " ".join(parts)


@dataclass(frozen=True, slots=True)
class Hop:
    """A proxy on the way of a probe.

    Attributes:
        proxy: ``sidecar``, or the gateway's name: ``istio-egressgateway.istio-system``.
        evidence: its record; None when it has none.
        refusal: why it can have none: nothing listens where the sidecar leads to.
    """

    proxy: str
    evidence: Evidence | None = None
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Way:
    """Where a connection or request has gone.

    Attributes:
        evidence: the record that decides: that of the last proxy that has one.
        hops: the proxies on the way where there are several, the sidecar first.
        control: empty when the positive control passed through the last of them, else why not.
    """

    evidence: Evidence | None
    hops: tuple[Hop, ...] = ()
    control: str = ""


def _number(value: Any) -> float | None:
    return None if value in {None, "-", ""} else float(value)


@dataclass(frozen=True, slots=True)
class UpstreamProof:
    """What the simulated outside knows of the connection that the proxy opened to it.

    Attributes:
        host: who stands at the place that was dialled, of several the one that was asked for;
            empty when that is not known.
        address: the simulated address, empty when the place is shared.
        port: the simulated port.
        forwarded: whether a server of the user's stood behind it (``to=``).
        unencrypted: whether plain HTTP came to a port that the contract declares as one of TLS,
            where no real server would have answered it.
    """

    host: str = ""
    address: str = ""
    port: int = 0
    forwarded: bool = False
    unencrypted: bool = False
    details: Mapping[str, Any] = field(default_factory=dict)

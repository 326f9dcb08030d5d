"""Envoy's response flags: their names and what they mean."""

from __future__ import annotations

__all__ = ["MEANINGS", "NAMES", "Flags"]

#: Long names (RESPONSE_FLAGS_LONG) by short ones (RESPONSE_FLAGS).
NAMES = {
    "UH": "NoHealthyUpstream",
    "UF": "UpstreamConnectionFailure",
    "UO": "UpstreamOverflow",
    "UT": "UpstreamRequestTimeout",
    "UC": "UpstreamConnectionTermination",
    "UR": "UpstreamRemoteReset",
    "UPE": "UpstreamProtocolError",
    "UMSDR": "UpstreamMaxStreamDurationReached",
    "URX": "UpstreamRetryLimitExceeded",
    "LR": "LocalReset",
    "LH": "FailedLocalHealthCheck",
    "NR": "NoRouteFound",
    "NC": "NoClusterFound",
    "DF": "DnsResolutionFailed",
    "DC": "DownstreamConnectionTermination",
    "DPE": "DownstreamProtocolError",
    "DR": "DownstreamRemoteReset",
    "DI": "DelayInjected",
    "FI": "FaultInjected",
    "DT": "DurationTimeout",
    "SI": "StreamIdleTimeout",
    "RL": "RateLimited",
    "RLSE": "RateLimitServiceError",
    "UAEX": "UnauthorizedExternalService",
    "IH": "InvalidEnvoyRequestHeaders",
    "RFCF": "ResponseFromCacheFilter",
    "NFCF": "NoFilterConfigFound",
    "OM": "OverloadManagerTerminated",
    "DO": "DropOverLoad",
    "UDO": "UnconditionalDropOverload",
}

MEANINGS = {
    "UH": "no address that is healthy, or none at all",
    "UF": "the connection to the upstream failed",
    "UO": "a circuit breaker is open (overflow)",
    "UT": "the upstream did not answer in time",
    "UC": "the upstream closed the connection before it answered",
    "UR": "the upstream reset the request",
    "UPE": "the upstream broke the protocol",
    "UMSDR": "the request lasted too long",
    "URX": "the retries were used up",
    "LR": "the proxy reset the request",
    "NR": "no route or filter chain matches",
    "NC": "the route leads to a cluster that does not exist",
    "DF": "the upstream's name does not resolve",
    "DC": "the client closed the connection first",
    "DPE": "the client broke the protocol",
    "DI": "a delay was injected",
    "FI": "a fault was injected",
    "DT": "the connection lasted too long",
    "SI": "nothing came for too long",
}


class Flags(frozenset[str]):
    """The flags of one record; their order means nothing.

    ``in`` knows short and long names: ``"UT" in flags``, ``"UpstreamRequestTimeout" in flags``.
    """

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return super().__eq__(other)

    __hash__ = frozenset.__hash__

    def __contains__(self, flag: object) -> bool:
        return super().__contains__(flag) or any(NAMES.get(own) == flag for own in self)

    def __str__(self) -> str:
        """The flags as a person would read them, empty without any."""
        return ", ".join(
            f"{flag} ({MEANINGS.get(flag) or NAMES.get(flag, 'unknown')})" for flag in sorted(self)
        )

    def __repr__(self) -> str:
        return f"Flags({sorted(self)})"

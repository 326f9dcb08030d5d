"""The verdict: what may be concluded from a probe, the proxy's record and the upstream's answer.

==============  ===============================================  ================================
verdict         means                                            needs as proof
==============  ===============================================  ================================
REACHABLE       the declared upstream answered                   its own token (or, live, a
                                                                 completed exchange), and a proxy
                                                                 record naming a declared cluster
UNDECLARED      it answered through PassthroughCluster           as above, with that cluster
BLOCKED         the mesh refused it                              proxy record, positive control
UNREACHABLE     the contract lets it through, the upstream       proxy record naming the cluster
                failed
UNRESOLVED      the pod's own lookup gave no address             the DNS answer
INCONCLUSIVE    no proof either way                              none: a failure in every case
==============  ===============================================  ================================
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from pytest_egress.evidence import BLACK_HOLE, PASSTHROUGH, Evidence, UpstreamProof
from pytest_egress.probe import Attempt

__all__ = ["Judgement", "Observation", "Verdict", "judge"]


class Verdict(Enum):
    """What a probe proved; see the module's table."""

    REACHABLE = "REACHABLE"
    UNDECLARED = "UNDECLARED"
    BLOCKED = "BLOCKED"
    UNREACHABLE = "UNREACHABLE"
    UNRESOLVED = "UNRESOLVED"
    INCONCLUSIVE = "INCONCLUSIVE"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Observation:
    """Everything that was seen of one probe.

    Attributes:
        attempt: what the probe saw.
        evidence: the proxy's record of it that decides, None when there is none.
        signed: the answer carried the simulated upstream's token.
        accepted: what the simulated outside knows of the connection that the proxy opened.
        live: the real outside was asked, so there is no token to expect.
        control: empty when the positive control passed through this proxy, else why it did not.
        resolver: empty when the pod's name server is known to work, else what is wrong with it.
    """

    attempt: Attempt
    evidence: Evidence | None = None
    signed: bool = False
    accepted: UpstreamProof | None = None
    live: bool = False
    control: str = ""
    resolver: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict and the one sentence that gives its reason."""

    verdict: Verdict
    reason: str


# Envoy's RESPONSE_FLAGS, in the order in which they explain a failure best.
_FLAGS = {
    "UO": "the circuit breaker is open (overflow)",
    "UT": "the upstream did not answer within the route's timeout",
    "DF": "the proxy could not resolve the upstream's name",
    "UF": "the connection to the upstream failed",
    "UC": "the upstream closed the connection before it answered",
    "UR": "the upstream reset the request",
    "LR": "the proxy reset the request",
    "UPE": "the upstream broke the protocol",
    "UH": "the proxy has no healthy address for it (its name does not resolve, or the entry has "
    "no endpoints)",
    "URX": "the retries were used up",
    "FI": "a fault was injected",
    "DC": "the proxy was still waiting for the upstream when the probe gave up",
}


def judge(observation: Observation) -> Judgement:
    """Draw the verdict from ``observation``. Total: whatever proves nothing is INCONCLUSIVE."""
    attempt, evidence = observation.attempt, observation.evidence
    if attempt.stage == "dns" and attempt.failure is not None:
        return _unresolved(observation)
    if evidence is None:
        seen = attempt.failure.message if attempt.failure else "the exchange completed"
        return _inconclusive(f"the proxy has no record of this connection (probe: {seen})")
    refusal = _refusal(evidence)
    if refusal:
        if observation.control:
            return _inconclusive(f"{refusal}, but {observation.control}")
        return Judgement(Verdict.BLOCKED, refusal)
    if not evidence.cluster:
        return _undecided(evidence)
    failure = _upstream_failure(observation, evidence)
    if failure is not None:
        return failure
    if evidence.cluster == PASSTHROUGH:
        return Judgement(
            Verdict.UNDECLARED, "it answered through PassthroughCluster: nothing declares it"
        )
    return Judgement(Verdict.REACHABLE, f"the upstream answered through {evidence.cluster}")


def _inconclusive(reason: str) -> Judgement:
    return Judgement(Verdict.INCONCLUSIVE, reason)


def _unresolved(observation: Observation) -> Judgement:
    dns = observation.attempt.dns
    if dns is None or observation.resolver:
        why = observation.resolver or "there is no answer of the name server"
        return _inconclusive(f"the pod's lookup failed and {why}")
    if dns.rcode == "MALFORMED":
        return _inconclusive("the pod's name server sent an answer that cannot be read")
    what = "no address (NODATA)" if dns.rcode == "NOERROR" else dns.rcode
    return Judgement(Verdict.UNRESOLVED, f"the pod's lookup of {dns.name} gave {what}")


def _refusal(evidence: Evidence) -> str:
    """Say how the mesh refused the connection; empty when it did not."""
    if evidence.cluster == BLACK_HOLE:
        where = evidence.filter_chain or "default filter chain"
        return f"listener {evidence.listener} sent it to BlackHoleCluster ({where})"
    if evidence.cluster:
        return ""
    if evidence.route == "block_all":
        return (
            f"route configuration {evidence.route_config} has no virtual host for "
            f"{evidence.authority or 'this host'}: block_all answered {evidence.response_code}"
        )
    if "NR" in evidence.response_flags:
        what = "route" if evidence.kind == "http" else "filter chain"
        return f"listener {evidence.listener} has no {what} that matches"
    if "NC" in evidence.response_flags:
        return f"route {evidence.route or '-'} leads to a cluster that does not exist"
    return ""


def _undecided(evidence: Evidence) -> Judgement:
    """A record without a cluster and without a refusal: the proxy never came to decide."""
    if evidence.kind == "http":
        return _inconclusive(
            f"the proxy answered {evidence.response_code} itself "
            f"({evidence.response_code_details or 'no details'}) before it chose a route"
        )
    return _inconclusive(
        f"listener {evidence.listener} was still waiting for the client's first bytes when the "
        "probe gave up (it tells protocols apart by them; a server-first protocol hangs here)"
    )


def _upstream_failure(observation: Observation, evidence: Evidence) -> Judgement | None:
    """Judge what went wrong behind the proxy; None when the upstream proved that it answered."""
    attempt = observation.attempt
    flags = evidence.response_flags
    local_reply = evidence.kind == "http" and evidence.response_code_details not in {
        "",
        "via_upstream",
    }
    if attempt.completed and not flags - {"DC"} and not local_reply:
        if observation.live or observation.signed:
            return None
        if observation.accepted is not None and observation.accepted.forwarded:
            return None  # a server of the user's own: it has no token to send
        return _inconclusive(
            "an answer came back that does not carry the upstream's token: something else spoke"
        )
    reason = next((text for flag, text in _FLAGS.items() if flag in flags), "")
    detail = evidence.upstream_transport_failure_reason or (
        evidence.response_code_details if local_reply else ""
    )
    if reason and detail:
        reason = f"{reason}: {detail}"
    if not reason or flags == {"DC"}:
        seen = attempt.failure.message if attempt.failure else "no complete answer"
        reason = f"{seen} (stage {attempt.stage})" if not reason else f"{reason} ({seen})"
    return Judgement(Verdict.UNREACHABLE, f"{evidence.cluster} lets it through, but {reason}")

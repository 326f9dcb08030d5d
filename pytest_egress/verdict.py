"""The verdict: what may be concluded from a probe, the proxy's record and the upstream's answer.

==============  ===============================================  ================================
verdict         means                                            needs as proof
==============  ===============================================  ================================
REACHABLE       the declared upstream answered                   its own token (or, live, a
                                                                 completed exchange), and a proxy
                                                                 record naming a declared cluster
UNDECLARED      it answered, but through PassthroughCluster or   as above, with that cluster,
                what stands in its place: nothing declares it    route or filter chain
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

from pytest_egress.evidence import BLACK_HOLE, Evidence, UpstreamProof
from pytest_egress.probe import Attempt
from pytest_egress.received import Request

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
        requests: what arrived outside of it: each attempt, each mirrored copy.
        live: the real outside was asked, so there is no token to expect.
        control: empty when the positive control passed through this proxy, else why it did not.
        resolver: empty when the pod's name server is known to work, else what is wrong with it.
    """

    attempt: Attempt
    evidence: Evidence | None = None
    signed: bool = False
    accepted: UpstreamProof | None = None
    requests: tuple[Request, ...] = ()
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
    "UR": "the upstream reset it",
    "LR": "the proxy reset the request",
    "UPE": "the upstream broke the protocol",
    "UH": "the proxy has no address for it: its name does not resolve, or there are no endpoints",
    "URX": "the retries were used up",
    "FI": "a fault was injected",
    "DC": "the proxy was still waiting for the upstream when the probe gave up",
}


# What a rule of a VirtualService asks for: faults and timeouts.
_BY_RULE = {"FI", "UT"}


def judge(observation: Observation) -> Judgement:
    """Draw the verdict from ``observation``. Total: whatever proves nothing is INCONCLUSIVE."""
    attempt, evidence = observation.attempt, observation.evidence
    if attempt.stage == "dns" and attempt.failure is not None:
        return _unresolved(observation)
    if evidence is None:
        seen = attempt.failure.message if attempt.failure else "the exchange completed"
        return _inconclusive(f"the proxy has no record of this connection (probe: {seen})")
    refusal = _refusal(attempt, evidence)
    if refusal:
        if observation.control:
            return _inconclusive(f"{refusal}, but {observation.control}")
        return Judgement(Verdict.BLOCKED, refusal)
    if not evidence.cluster:
        return _undecided(evidence)
    failure = _upstream_failure(observation, evidence)
    if failure is not None:
        return failure
    if evidence.undeclared:
        return Judgement(
            Verdict.UNDECLARED, f"it answered through {evidence.cluster}: nothing declares it"
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
    what = {"NOERROR": "gave no address (NODATA)", "TIMEOUT": "timed out"}.get(
        dns.rcode, f"gave {dns.rcode}"
    )
    return Judgement(Verdict.UNRESOLVED, f"the pod's lookup of {dns.name} {what}")


def _refusal(attempt: Attempt, evidence: Evidence) -> str:
    """Say how the mesh refused the connection; empty when it did not."""
    if evidence.cluster == BLACK_HOLE:
        where = evidence.filter_chain or "default filter chain"
        return f"listener {evidence.listener} sent it to BlackHoleCluster ({where})"
    if evidence.rule and evidence.response_code_details == "cors_response":
        return f"{_rule(evidence)} answers the CORS preflight itself: nothing goes to the host"
    if evidence.cluster:
        return ""
    if evidence.answered_by_rule:
        kind = {"direct_response": "directResponse"}.get(evidence.answer, evidence.answer)
        return (
            f"{_rule(evidence)} answers {evidence.response_code} itself ({kind}): "
            "nothing goes to the host"
        )
    if evidence.route_of_istio == "block_all":
        # Envoy turns its 502 into a gRPC status for a gRPC call; the HTTP status is 200 then.
        grpc = attempt.response.grpc_status if attempt.response else None
        status = f"{evidence.response_code}" if grpc is None else f"gRPC status {grpc}"
        return (
            f"route configuration {evidence.route_config} has no virtual host for "
            f"{evidence.authority or 'this host'}: block_all answered {status}"
        )
    if "NR" in evidence.response_flags:
        what = "route" if evidence.kind == "http" else "filter chain"
        return f"listener {evidence.listener} has no {what} that matches"
    if evidence.leads_nowhere:
        what = f"route {evidence.route}" if evidence.route else f"listener {evidence.listener}"
        if evidence.rule:
            what = _rule(evidence)
        cluster = evidence.missing_cluster
        named = f"{cluster}, a cluster" if cluster else "a cluster"
        return f"{what} leads to {named} that does not exist"
    return ""


def _rule(evidence: Evidence) -> str:
    """The VirtualService's rule that decided, with the name of its route."""
    named = f" (route {evidence.route})" if evidence.route else ""
    return f"VirtualService {evidence.rule}{named}"


def _undecided(evidence: Evidence) -> Judgement:
    """A record without a cluster and without a refusal: the proxy never came to decide."""
    if evidence.kind == "http" and not evidence.response_code:
        return _inconclusive(
            "the request ended before the proxy chose a route "
            f"({evidence.response_code_details or 'no details'})"
        )
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
    attempt, accepted = observation.attempt, observation.accepted
    flags = evidence.response_flags
    details = evidence.response_code_details
    local_reply = evidence.kind == "http" and details not in {"", "via_upstream"}
    # With via_upstream, URX says that the answer of the last attempt was passed on, and DI that it
    # was delayed.
    harmless = {"DC", "DI", "URX"} if details == "via_upstream" else {"DC"}
    if attempt.completed and not flags - harmless and not local_reply:
        if observation.live or observation.signed:
            return None
        if accepted is not None and accepted.forwarded:
            return None  # a server of the user's own: it has no token to send
        return _inconclusive("the answer does not carry the upstream's token")
    flag = next((flag for flag in _FLAGS if flag in flags), "")
    if details.startswith("dns_resolution_failure"):
        flag = "DF"  # Envoy says UH where the cluster resolves, not a filter before it
    reason = _FLAGS.get(flag, "")
    detail = evidence.upstream_transport_failure_reason or (details if local_reply else "")
    problem = accepted.details.get("problem") if accepted is not None else ""
    if flag in {"UF", "UC", "UR"} and problem:
        reason = f"{reason} ({problem})"
    elif reason and detail and flag != "DC" and detail != "no_healthy_upstream":
        reason = f"{reason}: {detail}"
    if not reason or flag == "DC":
        seen = attempt.failure.message if attempt.failure else "no complete answer"
        reason = f"{reason} ({seen})" if reason else f"{seen} (stage {attempt.stage})"
    if evidence.rule and flag in _BY_RULE:
        reason = f"{reason} (VirtualService {evidence.rule})"
    return Judgement(Verdict.UNREACHABLE, f"{evidence.cluster} lets it through, but {reason}")

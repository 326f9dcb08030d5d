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

from dataclasses import dataclass, replace
from enum import Enum

from pytest_egress.evidence import BLACK_HOLE, Evidence, Hop, UpstreamProof
from pytest_egress.probe import Attempt
from pytest_egress.received import Request

__all__ = ["Judgement", "Observation", "Verdict", "judge", "refusal_of"]


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
        evidence: the proxy's record of it that decides, None when there is none. Where the
            sidecar led to a gateway it is the gateway's, if it has one.
        hops: the proxies on its way where there are several, the sidecar first.
        signed: the answer carried the simulated upstream's token.
        accepted: what the simulated outside knows of the connection that the proxy opened.
        requests: what arrived at the upstream: each attempt, mirrored copies left out.
        live: the real outside was asked, so there is no token to expect.
        control: empty when the positive control passed through that proxy, else why it did not.
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
    hops: tuple[Hop, ...] = ()

    @property
    def first(self) -> Evidence | None:
        """The sidecar's record."""
        return self.hops[0].evidence if self.hops else self.evidence


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict and the one sentence that gives its reason.

    ``edit`` is what to change, where what was seen tells it and not the contract.
    """

    verdict: Verdict
    reason: str
    edit: str = ""


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
    refusal = _refused_at_gateway(observation) or _at(evidence, refusal_of(attempt, evidence))
    if refusal:
        if observation.control:
            return _inconclusive(f"{refusal}, but {observation.control}")
        return Judgement(Verdict.BLOCKED, refusal)
    lost = _lost_at_gateway(observation)
    if lost is not None:
        return lost
    if not evidence.cluster:
        return _undecided(evidence)
    failure = _upstream_failure(observation, evidence)
    if failure is not None:
        return failure
    first = observation.first or evidence
    if evidence.undeclared or first.undeclared:
        cluster = evidence.cluster if evidence.undeclared else first.cluster
        return Judgement(Verdict.UNDECLARED, f"it answered through {cluster}: nothing declares it")
    through = f"gateway {evidence.proxy} and " if evidence.proxy else ""
    return Judgement(
        Verdict.REACHABLE, f"the upstream answered through {through}{evidence.cluster}"
    )


def _at(evidence: Evidence, reason: str) -> str:
    """The reason, with the gateway that gives it."""
    return f"gateway {evidence.proxy}: {reason}" if reason and evidence.proxy else reason


def _refused_at_gateway(observation: Observation) -> str:
    """Say that a gateway does not listen for what the sidecar sends it; empty when it does."""
    if not observation.hops:
        return ""
    first, last = observation.first, observation.hops[-1]
    if last.refusal:
        return f"gateway {last.proxy}: {last.refusal}"
    found = last.evidence
    if found is None or first is None or not found.got_tls_for_http:
        return ""
    if "TLS_error" not in first.upstream_transport_failure_reason:
        return ""
    return _at(found, f"listener {found.listener} expects plain HTTP and got TLS")


def _lost_at_gateway(observation: Observation) -> Judgement | None:
    """Judge a gateway without a record, or one that never came to decide."""
    if not observation.hops:
        return None
    first, last = observation.first, observation.hops[-1]
    if last.evidence is None:
        return _inconclusive(f"gateway {last.proxy} has no record of this connection")
    if last.evidence.cluster or first is None:
        return None
    undecided = _undecided(last.evidence).reason
    if not first.response_flags - {"DC"}:
        return _inconclusive(_at(last.evidence, undecided))
    # The two do not speak the same protocol.
    failure = _upstream_failure(replace(observation, hops=()), first)
    reason = failure.reason if failure is not None else undecided
    return Judgement(Verdict.UNREACHABLE, f"{reason} (gateway {last.proxy}: {undecided})")


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


def refusal_of(attempt: Attempt, evidence: Evidence) -> str:
    """Say how the mesh refused the connection; empty when it did not."""
    if evidence.cluster == BLACK_HOLE:
        where = evidence.filter_chain or "default filter chain"
        return f"listener {evidence.listener} sent it to BlackHoleCluster ({where})"
    if evidence.rule and evidence.response_code_details == "cors_response":
        return f"{_rule(evidence)} answers the CORS preflight itself: nothing goes to the host"
    reason = evidence.downstream_transport_failure_reason
    # A client of TLS speaks first: had a handshake been completed, its bytes would have come.
    if evidence.handshake_failed and (reason or attempt.stage == "tls"):
        why = f": {reason}" if reason else ""
        return f"listener {evidence.listener} ends TLS itself, and no handshake was completed{why}"
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
    if accepted is not None and accepted.unencrypted:
        _, port, _, host = evidence.cluster.split("|")
        why = f"plain HTTP came to port {port} of {host}, which is declared as one of TLS"
        why = _at(evidence, f"{evidence.cluster} lets it through, but {why}")
        edit = f"let a DestinationRule for {host} originate TLS on port {port} (mode: SIMPLE)"
        return Judgement(Verdict.UNREACHABLE, why, edit)
    flags = evidence.response_flags
    details = evidence.response_code_details
    local_reply = evidence.kind == "http" and details not in {"", "via_upstream"}
    # With via_upstream, URX says that the answer of the last attempt was passed on, and DI that it
    # was delayed.
    harmless = {"DC", "DI", "URX"} if details == "via_upstream" else {"DC"}
    if evidence.kind == "connection" and accepted is not None and accepted.details.get("answered"):
        # The upstream had said all that it was asked for: a client that leaves without reading to
        # the end, or without an answer to its farewell, meets a reset on its way out.
        harmless |= {"UR"}
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
    why = _at(evidence, f"{evidence.cluster} lets it through, but {reason}")
    return Judgement(Verdict.UNREACHABLE, why)

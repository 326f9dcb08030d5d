"""What may be concluded from what was seen, for every combination of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_egress.evidence import BLACK_HOLE, PASSTHROUGH, Evidence, UpstreamProof
from pytest_egress.probe import Attempt, DnsAnswer, Failure, Response
from pytest_egress.probe.result import FAILURE_KINDS, STAGES
from pytest_egress.verdict import Observation, Verdict, judge

CLUSTER = "outbound|80||api.weather.com"
FLAGS = ("UO", "UT", "DF", "UF", "UC", "UR", "LR", "UPE", "UH", "URX", "FI", "DC", "NR", "NC", "ZZ")

words = st.text(max_size=8)
failures = st.builds(Failure, st.sampled_from(FAILURE_KINDS), words)
answers = st.builds(
    DnsAnswer,
    words,
    st.sampled_from(["NOERROR", "NXDOMAIN", "SERVFAIL", "TIMEOUT", "MALFORMED", "other"]),
    st.just(()) | st.just(("203.0.113.1",)),
)
attempts = st.builds(
    lambda stage, failure, dns, response, received: Attempt(
        "http://x",
        stage,
        failure is None,
        failure,
        dns=dns,
        response=response,
        received=received,
    ),
    st.sampled_from(STAGES),
    st.none() | failures,
    st.none() | answers,
    st.none() | st.builds(Response, st.integers(200, 599), grpc_status=st.none() | st.just(14)),
    st.binary(max_size=4),
)
records = st.builds(
    Evidence,
    kind=st.sampled_from(["http", "connection"]),
    source=words,
    destination=words,
    listener=words,
    filter_chain=st.sampled_from(["", "PassthroughFilterChain", "x"]),
    route_config=words,
    route=st.sampled_from(["", "default", "block_all", "allow_any"]),
    rule=st.sampled_from(["", "shop/routes http[0]"]),
    answer=st.sampled_from(["", "redirect", "direct_response"]),
    cluster=st.sampled_from(["", CLUSTER, BLACK_HOLE, PASSTHROUGH]),
    missing_cluster=st.sampled_from(["", CLUSTER]),
    response_code=st.sampled_from([0, 200, 404, 502, 503]),
    response_flags=st.frozensets(st.sampled_from(FLAGS), max_size=3),
    response_code_details=st.sampled_from(
        ["", "via_upstream", "direct_response", "no_healthy", "cors_response"]
    ),
    authority=words,
)
proofs = st.builds(
    UpstreamProof,
    forwarded=st.booleans(),
    details=st.dictionaries(st.just("problem"), words) | st.just({"problem": "", "answered": True}),
)
observations = st.builds(
    Observation,
    attempts,
    st.none() | records,
    signed=st.booleans(),
    accepted=st.none() | proofs,
    live=st.booleans(),
    control=st.sampled_from(["", "no control"]),
    resolver=st.sampled_from(["", "no resolver"]),
)


@given(observations)
def test_every_observation_has_one_verdict_with_its_proof(seen: Observation) -> None:
    """Judging never fails, and no verdict is given without what it needs as proof."""
    judgement = judge(seen)
    verdict, evidence, attempt = judgement.verdict, seen.evidence, seen.attempt
    assert judgement.reason
    unresolved = attempt.stage == "dns" and attempt.failure is not None
    if evidence is None:
        assert verdict in {Verdict.INCONCLUSIVE, Verdict.UNRESOLVED}
        assert verdict is Verdict.INCONCLUSIVE or unresolved
    if verdict is Verdict.UNRESOLVED:
        assert unresolved
        assert attempt.dns is not None
        assert not seen.resolver
    if verdict is Verdict.BLOCKED:
        assert not seen.control
        assert evidence is not None
        preflight = evidence.response_code_details == "cors_response" and evidence.rule
        answered = evidence.response_code and evidence.answer
        refused = evidence.cluster == BLACK_HOLE or evidence.route == "block_all"
        nowhere = evidence.missing_cluster and "FI" in evidence.response_flags
        flagged = evidence.response_flags & {"NR", "NC"}
        assert refused or flagged or preflight or answered or nowhere
        assert evidence.cluster in {"", BLACK_HOLE} or preflight
    if verdict in {Verdict.REACHABLE, Verdict.UNDECLARED}:
        forwarded = seen.accepted is not None and seen.accepted.forwarded
        assert seen.signed or forwarded or seen.live
        assert attempt.completed
        assert evidence is not None
        assert evidence.cluster not in {"", BLACK_HOLE}
        assert evidence.undeclared is (verdict is Verdict.UNDECLARED)
    if verdict is Verdict.UNREACHABLE:
        assert evidence is not None
        assert evidence.cluster in {CLUSTER, PASSTHROUGH}


ANSWERED = Attempt("http://api.weather.com/", "http", completed=True, response=Response(200))
FAILED = Attempt("tcp://x:1", "tcp", completed=False, failure=Failure("reset", "connection reset"))
RECORD = Evidence("http", "s", "d", "0.0.0.0_80", cluster=CLUSTER, route="default")


def verdict_of(attempt: Attempt, evidence: Evidence | None, **more: object) -> tuple[Verdict, str]:
    """The verdict and reason of an observation."""
    judgement = judge(Observation(attempt, evidence, **more))  # type: ignore[arg-type]
    return judgement.verdict, judgement.reason


def test_an_answer_without_token_proves_nothing() -> None:
    """Something answered, but the upstream's own token is missing."""
    answer = replace(RECORD, response_code=200, response_code_details="via_upstream")
    assert verdict_of(ANSWERED, answer)[0] is Verdict.INCONCLUSIVE
    assert verdict_of(ANSWERED, answer, signed=True)[0] is Verdict.REACHABLE
    assert verdict_of(ANSWERED, answer, accepted=UpstreamProof())[0] is Verdict.INCONCLUSIVE
    forwarded = UpstreamProof(forwarded=True)
    assert verdict_of(ANSWERED, answer, accepted=forwarded)[0] is Verdict.REACHABLE
    assert verdict_of(ANSWERED, answer, live=True)[0] is Verdict.REACHABLE


def test_a_refusal_needs_the_positive_control() -> None:
    """A proxy that passes nothing at all cannot prove that it blocks."""
    refused = replace(RECORD, kind="connection", cluster=BLACK_HOLE, route="")
    assert verdict_of(FAILED, refused)[0] is Verdict.BLOCKED
    verdict, reason = verdict_of(FAILED, refused, control="no control came through")
    assert verdict is Verdict.INCONCLUSIVE
    assert reason.endswith(", but no control came through")


def test_a_local_reply_is_not_the_upstreams_answer() -> None:
    """503 by Envoy completes the exchange, and is a failure all the same."""
    reply = replace(RECORD, response_code=503, response_code_details="cluster_maintenance_mode")
    verdict, reason = verdict_of(ANSWERED, reply, signed=True)
    assert verdict is Verdict.UNREACHABLE
    assert CLUSTER in reason


def test_names_of_istiods_routes_count_only_where_no_rule_made_them() -> None:
    """A VirtualService may call a route ``block_all``."""
    refused = replace(RECORD, cluster="", route="block_all", response_code=502)
    assert verdict_of(ANSWERED, refused)[0] is Verdict.BLOCKED
    own = replace(refused, rule="shop/routes http[0]", response_code_details="x")
    assert verdict_of(ANSWERED, own)[0] is Verdict.INCONCLUSIVE
    passed = replace(RECORD, route="allow_any")
    assert passed.undeclared
    assert not replace(passed, rule="shop/routes http[0]").undeclared


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"UF", "URX"}, "the connection to the upstream failed"),
        ({"UO"}, "overflow"),
        ({"UT", "URX"}, "timeout"),
        ({"UH"}, "no address"),
        ({"UC"}, "closed the connection before it answered"),
        ({"UR"}, "the upstream reset it"),
        ({"DC"}, "still waiting for the upstream when the probe gave up (connection reset)"),
        (set(), "connection reset (stage tcp)"),
        ({"ZZ"}, "connection reset (stage tcp)"),
    ],
)
def test_the_flag_that_explains_best_is_told(flags: set[str], words: str) -> None:
    """The reason of a failure is the flag's meaning; without a known one, what the probe saw."""
    record = replace(RECORD, kind="connection", response_flags=frozenset(flags))
    verdict, reason = verdict_of(FAILED, record)
    assert verdict is Verdict.UNREACHABLE
    assert words in reason


def test_a_reset_after_the_last_answer_is_none_of_the_upstream_s() -> None:
    """A client that leaves early may meet one; before the answer, it is what went wrong."""
    attempt = replace(ANSWERED, target="tls://api.weather.com:443", stage="tls", response=None)
    record = replace(RECORD, kind="connection", response_flags=frozenset({"UR"}))
    proof = UpstreamProof(details={"problem": "", "answered": True})
    assert verdict_of(attempt, record, signed=True, accepted=proof)[0] is Verdict.REACHABLE
    unfinished = UpstreamProof(details={"problem": "", "answered": False})
    for seen in (unfinished, None):
        verdict, reason = verdict_of(attempt, record, signed=True, accepted=seen)
        assert verdict is Verdict.UNREACHABLE
        assert "the upstream reset it" in reason


def test_a_dead_server_of_the_user_is_named() -> None:
    """What the outside knows of the connection says more than Envoy's flag."""
    proof = UpstreamProof(forwarded=True, details={"problem": "127.0.0.1:1 does not answer"})
    record = replace(RECORD, response_code=503, response_flags=frozenset({"UC"}))
    _, reason = verdict_of(ANSWERED, record, accepted=proof)
    assert reason.endswith("before it answered (127.0.0.1:1 does not answer)")


@pytest.mark.parametrize(
    ("dns", "resolver", "verdict"),
    [
        (DnsAnswer("a.example", "NXDOMAIN"), "", Verdict.UNRESOLVED),
        (DnsAnswer("a.example", "TIMEOUT"), "", Verdict.UNRESOLVED),
        (DnsAnswer("a.example", "TIMEOUT"), "it does not answer at all", Verdict.INCONCLUSIVE),
        (DnsAnswer("a.example", "MALFORMED"), "", Verdict.INCONCLUSIVE),
        (None, "", Verdict.INCONCLUSIVE),
    ],
)
def test_a_lookup_needs_a_name_server_that_works(
    dns: DnsAnswer | None, resolver: str, verdict: Verdict
) -> None:
    """Only an answer of a working name server says something about the name."""
    failure = Failure("rcode", "no address")
    attempt = Attempt("http://a.example/", "dns", completed=False, failure=failure, dns=dns)
    assert verdict_of(attempt, None, resolver=resolver)[0] is verdict


def test_a_request_that_ended_before_its_route() -> None:
    """Without a route and without an answer the proxy never came to decide."""
    record = replace(RECORD, cluster="", route="", response_flags=frozenset({"DC"}))
    verdict, reason = verdict_of(FAILED, record)
    assert verdict is Verdict.INCONCLUSIVE
    assert reason.startswith("the request ended before the proxy chose a route")
    answered = replace(record, response_code=400, response_code_details="missing_host_header")
    assert "answered 400 itself (missing_host_header)" in verdict_of(FAILED, answered)[1]


def test_a_route_to_no_cluster_is_a_refusal() -> None:
    """NC is the mesh's doing, as NR is."""
    record = replace(RECORD, cluster="", route="r", response_flags=frozenset({"NC"}))
    assert verdict_of(FAILED, record) == (
        Verdict.BLOCKED,
        "route r leads to a cluster that does not exist",
    )


def test_verdicts_print_as_their_name() -> None:
    """A verdict reads the same in a report and in JSON."""
    assert [str(verdict) for verdict in Verdict] == [verdict.value for verdict in Verdict]

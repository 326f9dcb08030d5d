"""The way of one call as steps: dns, listener, route, cluster, upstream, with the one that decided.

The report draws them, one lane for each proxy on the way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pytest_egress.evidence import BLACK_HOLE, Evidence, Hop
from pytest_egress.verdict import Verdict

__all__ = ["SIDECAR", "Step", "steps_of"]

SIDECAR = "sidecar"
# What the upstream's own failure is not: the proxy had nobody to ask, or did not ask.
_AT_CLUSTER = frozenset({"UH", "DF", "UO"})
_AT_RULE = frozenset({"FI", "UT"})


@dataclass(frozen=True, slots=True)
class Step:
    """One step on the way.

    Attributes:
        kind: ``dns``, ``listener``, ``chain`` (of filters, where there is no HTTP), ``route``,
            ``cluster`` or ``upstream``.
        proxy: whose step it is: ``sidecar`` or the gateway's name; empty for ``dns`` and
            ``upstream``, which are outside of any.
        name: what was there, in Envoy's names; empty where the call did not come there.
        detail: what else is known of it.
        state: ``passed``, ``decided`` (the verdict fell here) or ``missed`` (not reached).
    """

    kind: str
    proxy: str
    name: str
    detail: str = ""
    state: str = "passed"

    def to_json(self) -> dict[str, Any]:
        """The step as plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Step:
        """The step of plain values."""
        return cls(**values)


def steps_of(
    verdict: Verdict,
    lookup: Step,
    evidence: Evidence | None,
    hops: Iterable[Hop],
    upstream: Step,
) -> tuple[Step, ...]:
    """The steps of a call, exactly one of them ``decided`` unless the verdict is INCONCLUSIVE.

    Args:
        verdict: what became of it.
        lookup: the step ``dns``.
        evidence: the record that decided, None without one.
        hops: the proxies on the way where there are several, the sidecar first.
        upstream: the step ``upstream``.
    """
    records = list(hops) or [Hop(SIDECAR, evidence)]
    steps = [lookup]
    for hop in records:
        steps.extend(_of_proxy(hop))
    steps.append(upstream)
    place = _deciding(verdict, steps, records)
    return tuple(_marked(steps, place))


def _of_proxy(hop: Hop) -> Iterator[Step]:
    found = hop.evidence
    if found is None:
        yield Step("listener", hop.proxy, "", hop.refusal)
        yield Step("route", hop.proxy, "")
        yield Step("cluster", hop.proxy, "")
        return
    yield Step("listener", hop.proxy, found.listener, f"for {found.destination}")
    if _is_http(found):
        of = f"of {found.route_config}" if found.route_config else ""
        rule = f"VirtualService {found.rule}" if found.rule else ""
        name = found.route or ("no route" if not found.cluster else "unnamed route")
        yield Step("route", hop.proxy, name, rule or of)
    else:
        asked = f"SNI {found.requested_server_name}" if found.requested_server_name else ""
        rule = f"VirtualService {found.rule}" if found.rule else ""
        missing = "no match" if not found.cluster else "default filter chain"
        yield Step("chain", hop.proxy, found.filter_chain or missing, rule or asked)
    missing = f"{found.missing_cluster} does not exist" if found.missing_cluster else ""
    yield Step("cluster", hop.proxy, found.cluster, missing)


def _is_http(found: Evidence) -> bool:
    return found.kind == "http" or bool(found.route_config)


def _deciding(verdict: Verdict, steps: list[Step], hops: list[Hop]) -> int | None:
    """The index of the step at which the verdict fell; None where nothing is proven."""
    last = hops[-1]
    found = last.evidence
    base = len(steps) - 4  # the last proxy's listener; the upstream is behind its cluster
    if verdict is Verdict.UNRESOLVED:
        return 0
    if verdict is Verdict.INCONCLUSIVE:
        return None
    if verdict is Verdict.REACHABLE:
        return len(steps) - 1
    if verdict is Verdict.BLOCKED:
        if found is None:
            return base if last.refusal else None
        return base + 2 if found.leads_nowhere else base + 1
    if verdict is Verdict.UNDECLARED:
        # The first proxy that took it for a stranger: its catch-all route or filter chain.
        of = next((i for i, hop in enumerate(hops) if hop.evidence and hop.evidence.undeclared), 0)
        return 2 + 3 * of
    if found is None:
        return len(steps) - 1
    if found.rule and found.response_flags & _AT_RULE:
        return base + 1
    return base + 2 if found.response_flags & _AT_CLUSTER else base + 3


def _marked(steps: list[Step], place: int | None) -> Iterator[Step]:
    for index, step in enumerate(steps):
        state = "passed" if step.name and step.name != BLACK_HOLE else "missed"
        if place is not None and index > place:
            state = "missed"
        if index == place:
            state = "decided"
        yield Step(step.kind, step.proxy, step.name, step.detail, state)

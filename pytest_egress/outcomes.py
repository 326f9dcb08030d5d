"""Many outcomes of one probe: their verdicts, statuses and shares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NoReturn, overload

from pytest_egress.outcome import Outcome
from pytest_egress.shares import Share, Shares
from pytest_egress.verdict import Verdict

__all__ = ["Outcomes"]


class Outcomes(Sequence[Outcome]):
    """What ``egress.get(url, n=100)`` returns: the outcomes in the order in which they began."""

    def __init__(self, outcomes: Iterable[Outcome]) -> None:
        self._outcomes = tuple(outcomes)

    @overload
    def __getitem__(self, index: int) -> Outcome: ...

    @overload
    def __getitem__(self, index: slice) -> Outcomes: ...

    def __getitem__(self, index: int | slice) -> Outcome | Outcomes:
        if isinstance(index, slice):
            return Outcomes(self._outcomes[index])
        return self._outcomes[index]

    def __len__(self) -> int:
        return len(self._outcomes)

    # -- all of them ----------------------------------------------------------------------------

    @property
    def reachable(self) -> bool:
        """Whether every one is `Outcome.reachable`.

        Raises:
            InconclusiveError: of one there is no proof either way.
        """
        __tracebackhide__ = True
        return self._all(lambda outcome: outcome.reachable)

    @property
    def blocked(self) -> bool:
        """Whether every one is `Outcome.blocked`.

        Raises:
            InconclusiveError: of one there is no proof either way.
        """
        __tracebackhide__ = True
        return self._all(lambda outcome: outcome.blocked)

    @property
    def unreachable(self) -> bool:
        """Whether every one is `Outcome.unreachable`.

        Raises:
            InconclusiveError: of one there is no proof either way.
        """
        __tracebackhide__ = True
        return self._all(lambda outcome: outcome.unreachable)

    # -- counts ---------------------------------------------------------------------------------

    @property
    def verdicts(self) -> Counter[Verdict]:
        """How many have each verdict."""
        return Counter(outcome.verdict for outcome in self)

    @property
    def statuses(self) -> Counter[int | None]:
        """How many have each HTTP status; None: no response."""
        return Counter(outcome.status for outcome in self)

    @property
    def flags(self) -> Counter[str]:
        """How many have each of Envoy's response flags."""
        return Counter(flag for outcome in self for flag in outcome.flags)

    # -- shares ---------------------------------------------------------------------------------

    @property
    def share_by_upstream(self) -> Shares:
        """What share each upstream got, by ``address:port``.

        An address alone, or a host, can be asked for as well and stands for all of its ports, or
        addresses. Those that no upstream answered count for "" or for where they failed.
        """
        places = {str(outcome.upstream): outcome.upstream for outcome in self}
        aliases = {name: {place.address, place.host} - {""} for name, place in places.items()}
        return Shares((str(outcome.upstream) for outcome in self), aliases)

    @property
    def share_by_cluster(self) -> Shares:
        """What share each cluster got, as in ``outbound|80|v2|api.example.com``; "": none did."""
        return Shares(outcome.cluster for outcome in self)

    @property
    def share_by_subset(self) -> Shares:
        """What share each DestinationRule subset (a version, as a rule) got; "": those without."""
        return Shares(outcome.subset for outcome in self)

    def share(
        self,
        which: Callable[[Outcome], bool] | None = None,
        *,
        upstream: str | None = None,
        cluster: str | None = None,
        subset: str | None = None,
        status: int | None = None,
        verdict: Verdict | None = None,
    ) -> Share:
        """The share of those for which all that is given holds.

        Args:
            which: says of an outcome whether it counts.
            upstream: who answered: ``address:port``, address or host.
            cluster: the cluster's whole name, or the host in it.
            subset: the DestinationRule subset.
            status: the HTTP status.
            verdict: the verdict.
        """

        def counts(outcome: Outcome) -> bool:
            by = outcome.upstream
            return (
                (which is None or which(outcome))
                and (upstream is None or upstream in {str(by), by.address, by.host} - {""})
                and (
                    cluster is None
                    or cluster in {outcome.cluster, outcome.cluster.rpartition("|")[2]}
                )
                and (subset is None or subset == outcome.subset)
                and (status is None or status == outcome.status)
                and (verdict is None or verdict is outcome.verdict)
            )

        self._some()
        return Share(sum(map(counts, self)), len(self))

    # -- words ----------------------------------------------------------------------------------

    def explain(self) -> str:
        """The line of `repr`, then the whole story of the first outcome of each kind."""
        first: dict[tuple[Verdict, str, int | None], Outcome] = {}
        for outcome in self:
            first.setdefault((outcome.verdict, outcome.reason, outcome.status), outcome)
        return "\n\n".join([repr(self), *(outcome.explain() for outcome in first.values())])

    def __repr__(self) -> str:
        target = self._outcomes[0].target if self._outcomes else "nothing"
        parts = [f"{count} {verdict}" for verdict, count in self.verdicts.most_common()]
        parts += [f"{count} x {status}" for status, count in self.statuses.most_common() if status]
        parts += [f"{count} x {flag}" for flag, count in self.flags.most_common()]
        return f"<{len(self)} outcomes of {target}: {', '.join(parts)}>"

    def __str__(self) -> str:
        return self.explain()

    def __bool__(self) -> NoReturn:
        raise TypeError(
            "outcomes are neither true nor false: read .reachable, .blocked, .unreachable, "
            ".verdicts or a share"
        )

    def _all(self, holds: Callable[[Outcome], bool]) -> bool:
        __tracebackhide__ = True
        self._some()
        answers = [holds(outcome) for outcome in self]  # each is asked: it may have no proof
        return all(answers)

    def _some(self) -> None:
        __tracebackhide__ = True
        if not self._outcomes:
            raise ValueError("there is no outcome here to ask")

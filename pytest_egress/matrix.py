"""Every workload asked for every target: who may reach what, as one value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import NoReturn

from pytest_egress.contract.resources import Workload
from pytest_egress.errors import InconclusiveError, ProbeError
from pytest_egress.outcome import Outcome
from pytest_egress.verdict import Verdict

__all__ = ["Matrix", "read_workloads", "spelt"]

_MOST_ROWS = 40  # of the table that a failing assertion shows

Pair = tuple[str, str]


def spelt(workload: Workload) -> str:
    """A workload as the settings spell it: ``NAMESPACE`` or ``NAMESPACE/key=value,key=value``."""
    labels = ",".join(f"{key}={value}" for key, value in workload.labels.items())
    return f"{workload.namespace}/{labels}" if labels else workload.namespace


def read_workloads(given: Iterable[Workload | str]) -> dict[str, Workload]:
    """Workloads by their spelling, each once.

    Raises:
        ProbeError: one is none, or there is none.
    """
    from pytest_egress.setting import parse_workload

    found = {}
    for it in given:
        if isinstance(it, Workload):
            found[spelt(it)] = it
            continue
        try:
            found[it] = Workload(*parse_workload(it))
        except (ValueError, AttributeError) as error:
            raise ProbeError(f"matrix: workload {it!r}: {error}") from None
    if not found:
        raise ProbeError("matrix: expected at least one workload")
    return found


class Matrix(Mapping[Pair, Outcome]):
    """What ``egress.matrix(workloads, targets)`` returns: an outcome for each pair.

    A pair is a workload (``NAMESPACE/key=value``) and a target, both as they were given.
    """

    def __init__(self, outcomes: Mapping[Pair, Outcome]) -> None:
        self._outcomes = dict(outcomes)

    def __getitem__(self, pair: Pair) -> Outcome:
        return self._outcomes[pair]

    def __iter__(self) -> Iterator[Pair]:
        return iter(self._outcomes)

    def __len__(self) -> int:
        return len(self._outcomes)

    @property
    def workloads(self) -> tuple[str, ...]:
        """The workloads, in the order in which they asked."""
        return tuple(dict.fromkeys(workload for workload, _ in self))

    @property
    def targets(self) -> tuple[str, ...]:
        """The targets, in the order in which they were given."""
        return tuple(dict.fromkeys(target for _, target in self))

    @property
    def reachable(self) -> set[Pair]:
        """The pairs that are `Outcome.reachable`.

        Raises:
            InconclusiveError: of a pair there is no proof either way.
        """
        __tracebackhide__ = True
        return self._with(Verdict.REACHABLE)

    @property
    def blocked(self) -> set[Pair]:
        """The pairs that are `Outcome.blocked`.

        Raises:
            InconclusiveError: of a pair there is no proof either way.
        """
        __tracebackhide__ = True
        return self._with(Verdict.BLOCKED)

    @property
    def verdicts(self) -> Counter[Verdict]:
        """How many pairs have each verdict, INCONCLUSIVE included."""
        return Counter(outcome.verdict for outcome in self.values())

    def table(self) -> str:
        """A row for each target with the verdict for each workload."""
        workloads = self.workloads
        rows = [("", *workloads)]
        for target in self.targets[:_MOST_ROWS]:
            verdicts = (self._outcomes.get((it, target)) for it in workloads)
            rows.append((target, *("" if it is None else it.verdict.value for it in verdicts)))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        more = len(self.targets) - _MOST_ROWS
        return "\n".join([*lines, f"... and {more} more targets"] if more > 0 else lines)

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {verdict}" for verdict, count in self.verdicts.most_common())
        size = f"{len(self.workloads)} workloads x {len(self.targets)} targets"
        return f"<Matrix {size}: {counts or 'nothing asked'}>"

    def __str__(self) -> str:
        return self.table()

    def __bool__(self) -> NoReturn:
        raise TypeError("a matrix is neither true nor false: read .reachable, .blocked or [pair]")

    def _with(self, verdict: Verdict) -> set[Pair]:
        __tracebackhide__ = True
        lost = [pair for pair, it in self.items() if it.verdict is Verdict.INCONCLUSIVE]
        if lost:
            workload, target = lost[0]
            raise InconclusiveError(
                f"no proof either way for {len(lost)} of {len(self)} pairs, first {target} from "
                f"{workload}\n{self[lost[0]].explain()}"
            )
        return {pair for pair, it in self.items() if it.verdict is verdict}

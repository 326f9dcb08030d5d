"""Where backends disagree: the verdicts of the same tests on several backends, side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Comparison", "Difference", "Run", "Side", "Sighting", "compare", "summary"]

_MOST = 50  # differences of a kind that are shown


@dataclass(frozen=True, slots=True)
class Sighting:
    """One verdict that a test got, or many of one probe that was made several times.

    Attributes:
        target: what was asked for.
        verdict: what became of it.
        told: the evidence, as a failure tells it.
        count: how often.
        ordered: whether it is told from others by its place in the test. What the application
            or a repeated probe called is not: it comes in any order and number.
    """

    target: str
    verdict: str
    told: str
    count: int = 1
    ordered: bool = True

    def to_json(self) -> dict[str, Any]:
        """The sighting as plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Sighting:
        """The sighting of plain values."""
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Run:
    """One test on one backend.

    Attributes:
        test: its node id, without the backend.
        result: ``passed``, ``failed``, ``skipped`` ...
        reason: of a skip.
        seen: its verdicts, in order.
    """

    test: str
    backend: str
    result: str
    reason: str = ""
    seen: tuple[Sighting, ...] = ()


@dataclass(frozen=True, slots=True)
class Side:
    """What one backend said, with its evidence or reason."""

    backend: str
    says: str
    told: str = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing on which backends disagree.

    Attributes:
        target: what was asked for; empty where the results of a test differ.
        sides: what each backend said, in the order of the setting.
    """

    test: str
    target: str
    sides: tuple[Side, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What several backends said of the same tests.

    Attributes:
        verdicts: the verdicts that differ, in the order of the run.
        results: the tests that passed on one backend and did not on another.
        compared: how many probes, calls and targets were compared.
        alone: ``test: target`` of what was asked on one backend only, so cannot be compared.
    """

    verdicts: tuple[Difference, ...]
    results: tuple[Difference, ...]
    compared: int
    alone: tuple[str, ...]


def compare(runs: Iterable[Run], backends: Sequence[str]) -> Comparison:
    """Compare each test's verdicts and result on all the backends that it ran on."""
    by_test: dict[str, dict[str, Run]] = {}
    for run in runs:
        by_test.setdefault(run.test, {})[run.backend] = run
    verdicts: list[Difference] = []
    results: list[Difference] = []
    alone: list[str] = []
    compared = 0
    for test, by_backend in by_test.items():
        ran = [by_backend[name] for name in backends if name in by_backend]
        keyed = [_keyed(run.seen) for run in ran]
        for key in dict.fromkeys(key for known in keyed for key in known):
            found = [
                (run, known[key]) for run, known in zip(ran, keyed, strict=True) if key in known
            ]
            if len(found) == 1:
                alone.append(f"{test}: {key[0]}")
                continue
            compared += 1
            if len({frozenset(it.verdict for it in seen) for _, seen in found}) > 1:
                sides = tuple(_side(run, seen) for run, seen in found)
                verdicts.append(Difference(test, key[0], sides))
        if len({run.result for run in ran}) > 1:
            sides = tuple(Side(run.backend, run.result, run.reason) for run in ran)
            results.append(Difference(test, "", sides))
    return Comparison(tuple(verdicts), tuple(results), compared, tuple(alone))


def summary(comparison: Comparison) -> Iterator[str]:
    """The words for a comparison, a line each: what differs with its evidence, then the counts."""
    for difference in comparison.verdicts[:_MOST]:
        yield f"{difference.test}: {difference.target}"
        for side in difference.sides:
            yield f"  {side.backend}: {side.says}"
            for line in side.told.splitlines():
                yield f"    {line}"
    for difference in comparison.results[:_MOST]:
        said = "; ".join(
            f"{side.says} on {side.backend}" + (f" ({side.told})" if side.told else "")
            for side in difference.sides
        )
        yield f"{difference.test}: {said}"
    for kind, found in (("verdicts", comparison.verdicts), ("results", comparison.results)):
        if len(found) > _MOST:
            yield f"... and {len(found) - _MOST} more {kind}"
    if comparison.alone:
        asked = f"asked on one backend only, not compared: {comparison.alone[0]}"
        more = len(comparison.alone) - 1
        yield f"{asked} and {more} more" if more else asked
    verdicts, results = len(comparison.verdicts), len(comparison.results)
    yield (
        f"{comparison.compared} compared: {verdicts or 'no'} "
        f"verdict{'s differ' if verdicts > 1 else ' differs'}, {results or 'no'} "
        f"test result{'s differ' if results > 1 else ' differs'}"
    )


def _keyed(seen: Iterable[Sighting]) -> dict[tuple[str, int], list[Sighting]]:
    """Verdicts by what they are compared by: the target, and the how manieth of it.

    All that have no place of their own are together, under -1.
    """
    keyed: dict[tuple[str, int], list[Sighting]] = {}
    times: dict[str, int] = {}
    for it in seen:
        place = -1
        if it.ordered:
            place = times.get(it.target, 0)
            times[it.target] = place + 1
        keyed.setdefault((it.target, place), []).append(it)
    return keyed


def _side(run: Run, seen: list[Sighting]) -> Side:
    counts: dict[str, int] = {}
    for it in seen:
        counts[it.verdict] = counts.get(it.verdict, 0) + it.count
    total = sum(counts.values())
    says = ", ".join(
        verdict if total == 1 else f"{verdict} ({count} of {total})"
        for verdict, count in counts.items()
    )
    first = {it.verdict: it for it in reversed(seen)}
    return Side(run.backend, says, "\n".join(first[verdict].told for verdict in counts))

"""Which parts of the contract the tests have exercised, and what they called beside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pytest_egress.report.facts import Declaration, Fact
from pytest_egress.report.nearest import matches

__all__ = ["Coverage", "cover"]

_MOST_TESTS = 3  # named beside what they called


@dataclass(frozen=True, slots=True)
class Coverage:
    """The declared hosts and ports of a run, and what became of them.

    Attributes:
        exercised: those that a test has called through the mesh.
        never_called: those whose host no test has called on any port.
        never_opened: those whose host was called, on other ports only.
        undeclared: targets that an open mesh let through although nothing declares them, each
            with the tests that called it.
    """

    exercised: tuple[Declaration, ...]
    never_called: tuple[Declaration, ...]
    never_opened: tuple[Declaration, ...]
    undeclared: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def total(self) -> int:
        """How many hosts and ports are declared."""
        return len(self.exercised) + len(self.never_called) + len(self.never_opened)

    @property
    def percent(self) -> float:
        """The share of them that was exercised; 100 where nothing is declared."""
        return 100.0 * len(self.exercised) / self.total if self.total else 100.0

    def lines(self) -> Iterator[str]:
        """The summary, a line each: the share, then what is missing."""
        yield (
            f"{len(self.exercised)} of {self.total} declared hosts and ports exercised "
            f"({self.percent:.0f} %)"
        )
        for kind, found in (
            ("never called", self.never_called),
            ("never opened", self.never_opened),
        ):
            for it in found:
                yield f"{kind}: {it.host}:{it.port}/{it.protocol or '?'} ({it.place})"
        for target, tests in self.undeclared:
            more = f" and {len(tests) - _MOST_TESTS} more" if len(tests) > _MOST_TESTS else ""
            yield f"not declared: {target} (called by {', '.join(tests[:_MOST_TESTS])}{more})"


def cover(declared: Iterable[Declaration], facts: Iterable[Fact]) -> Coverage:
    """Compare what is declared with what was called.

    A host on a port is exercised when a call has gone to its cluster, whatever the upstream said;
    a call that the mesh refused exercises nothing.
    """
    clusters: set[tuple[str, int]] = set()
    undeclared: dict[str, dict[str, None]] = {}
    for fact in facts:
        if fact.undeclared:
            target = f"{fact.host}:{fact.port}/{fact.protocol}"
            undeclared.setdefault(target, {})[fact.test] = None
        elif fact.cluster.startswith("outbound|"):
            _, port, _, host = fact.cluster.split("|", 3)
            clusters.add((host.lower(), int(port)))
    called_hosts = {host for host, _ in clusters}
    exercised, never_called, never_opened = [], [], []
    for it in dict.fromkeys(declared):
        host = it.host.lower()
        if (host, it.port) in clusters:
            exercised.append(it)
        elif host in called_hosts or (
            host.startswith("*") and any(matches(host, other) for other in called_hosts)
        ):
            never_opened.append(it)
        else:
            never_called.append(it)
    return Coverage(
        tuple(exercised),
        tuple(never_called),
        tuple(never_opened),
        tuple((target, tuple(tests)) for target, tests in sorted(undeclared.items())),
    )

"""The matrix of a contract: every declared host and port, as each workload finds it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_egress.contract.contract import Contract
from pytest_egress.contract.resources import Workload
from pytest_egress.drift.candidates import ELSEWHERE, Question, questions
from pytest_egress.envoy.protocols import HTTP, SNIFFED, TLS, parse_protocol
from pytest_egress.report.facts import declarations_of
from pytest_egress.verdict import Verdict

__all__ = ["FORMATS", "Row", "Table", "table"]

SCHEMA = 1
# What is told of several calls of one host: the most open of their verdicts.
_OPENNESS = (
    Verdict.INCONCLUSIVE,
    Verdict.REACHABLE,
    Verdict.UNDECLARED,
    Verdict.UNREACHABLE,
    Verdict.UNRESOLVED,
    Verdict.BLOCKED,
)


@dataclass(frozen=True, slots=True)
class Row:
    """One declared host on one port; without host it stands for whatever nobody declares.

    Attributes:
        host: as declared, empty for any other host.
        protocol: as declared, empty for any other host: every protocol is tried.
        place: ``file:line:column`` of the host, empty for any other.
        verdicts: of each workload, in the table's order.
    """

    host: str
    port: int
    protocol: str
    place: str
    verdicts: tuple[Verdict, ...]

    @property
    def target(self) -> str:
        """What is called, for people."""
        protocol = f"/{self.protocol}" if self.protocol else ""
        return f"{self.host or 'any other host'}:{self.port}{protocol}"


@dataclass(frozen=True, slots=True)
class Table:
    """All rows, and who asked.

    Attributes:
        workloads: the columns.
        rows: in the contract's order, any other host on each port last.
        source: where the verdicts are from, in words.
    """

    workloads: tuple[Workload, ...]
    rows: tuple[Row, ...]
    source: str


def table(
    contract: Contract,
    workloads: Sequence[Workload],
    verdict: Callable[[Workload, Question], Verdict],
    source: str,
) -> Table:
    """Ask for every declared host and port as every workload.

    Args:
        contract: what is declared.
        workloads: who asks.
        verdict: what becomes of one call.
        source: where that is from, in words.
    """
    asked: dict[tuple[str, int], list[Question]] = {}
    for question in questions(contract):
        asked.setdefault((question.shown, question.port), []).append(question)

    declared = {
        (it.host, it.port, it.protocol): it.place
        for it in reversed(tuple(declarations_of(contract)))
        if parse_protocol(it.protocol) != "UDP"
    }
    keys = [
        *reversed(declared),
        *(("", it, "") for it in sorted({port for _, port, _ in declared})),
    ]

    def column(workload: Workload) -> list[Verdict]:
        return [
            min(
                (
                    verdict(workload, it)
                    for it in asked[host.lower(), port]
                    if it.protocol in _spoken(protocol)
                ),
                key=_OPENNESS.index,
            )
            for host, port, protocol in keys
        ]

    # One workload after the other: each may have a proxy of its own.
    columns = [column(it) for it in workloads]
    rows = (
        Row(*key, declared.get(key, ""), verdicts)
        for key, verdicts in zip(keys, zip(*columns, strict=True), strict=True)
    )
    return Table(tuple(workloads), tuple(rows), source)


def name_of(workload: Workload) -> str:
    """A workload as ``--from`` takes it; the one that stands for all others in words."""
    if workload.namespace == ELSEWHERE:
        return "any other"
    labels = ",".join(f"{key}={value}" for key, value in sorted(workload.labels.items()))
    return f"{workload.namespace}/{labels}" if labels else workload.namespace


def _spoken(protocol: str) -> set[str]:
    """How a port is asked, in the words of a call."""
    parsed = parse_protocol(protocol)
    if not protocol:
        return {"http", "tls", "tcp"}
    if parsed in HTTP:
        return {"http"}
    if parsed == SNIFFED:
        return {"http", "tcp"}
    return {"tls"} if parsed in TLS else {"tcp"}


def _text(shown: Table) -> Iterator[str]:
    head = ["", *map(name_of, shown.workloads)]
    lines = [head, *([it.target, *map(_word, it.verdicts)] for it in shown.rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        yield "  ".join(cells).rstrip()
    yield ""
    yield f"({shown.source})"


def _markdown(shown: Table) -> Iterator[str]:
    yield f"| host | {' | '.join(map(name_of, shown.workloads))} |"
    yield "|---" * (len(shown.workloads) + 1) + "|"
    for it in shown.rows:
        yield f"| {it.target} | {' | '.join(map(_word, it.verdicts))} |".replace("*", "\\*")
    yield ""
    yield f"*{shown.source}*"


def _json(shown: Table) -> Iterator[str]:
    import json

    def row(it: Row) -> dict[str, Any]:
        names = map(name_of, shown.workloads)
        return {
            "host": it.host or None,
            "port": it.port,
            "protocol": it.protocol or None,
            "declared_by": it.place or None,
            "verdicts": dict(zip(names, map(str, it.verdicts), strict=True)),
        }

    told = {"schema": SCHEMA, "source": shown.source, "rows": list(map(row, shown.rows))}
    yield json.dumps(told, indent=2)


def _word(verdict: Verdict) -> str:
    return verdict.value.lower()


#: How a table is written.
FORMATS: dict[str, Callable[[Table], Iterable[str]]] = {
    "text": _text,
    "markdown": _markdown,
    "json": _json,
}

"""``python -m tests.conformance``: one table of how far the product and istiod agree."""

from __future__ import annotations

import sys

from tests.conformance.cases import recorded
from tests.conformance.compare import EXPLAINED, Comparison, behaviour, structure, validation
from tests.conformance.structure import ALLOWED, UNORDERED


def main() -> int:
    """Print the table, every difference with its reason, and what is not compared.

    Returns:
        0, or 1 when a difference has no known reason.
    """
    cases, waiting = recorded("behaviour")
    documents, waiting_documents = recorded("validation")
    whole, waiting_whole = recorded("structure")
    contracts, calls = behaviour(cases)
    rows = [
        ("behaviour", contracts, len(waiting)),
        ("behaviour", calls, 0),
        ("validation", validation(documents), len(waiting_documents)),
        ("structure", structure(whole), len(waiting_whole)),
    ]
    heads = f"{'agree':>7}{'of':>7}{'explained':>11}{'differ':>8}{'allowed':>9}{'left out':>10}"
    lines = [f"{'recorded':<12}{'what':<16}{heads}"]
    lines += [_row(name, comparison, left_out) for name, comparison, left_out in rows]
    for name, comparison, _ in rows:
        for identity, difference in comparison.differing.items():
            reason = EXPLAINED.get(identity, "NOT EXPLAINED")
            lines.append(f"{name} {identity}: {difference}\n  reason: {reason}")
    lines.append("\nallowed to be absent in our configurations:")
    counts = rows[-1][1].allowed
    lines += [f"  {counts.get(it.name, 0):>5} {it.name}: {it.reason}" for it in ALLOWED]
    lines.append(f"order that istiod itself does not keep: {', '.join(UNORDERED)}")
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if any(comparison.unexplained for _, comparison, _ in rows) else 0


def _row(name: str, comparison: Comparison, left_out: int) -> str:
    differ = len(comparison.unexplained)
    explained = len(comparison.differing) - differ
    return (
        f"{name:<12}{comparison.what:<16}{comparison.agreeing:>7}{comparison.total:>7}"
        f"{explained:>11}{differ:>8}{sum(comparison.allowed.values()):>9}{left_out:>10}"
    )


if __name__ == "__main__":
    raise SystemExit(main())

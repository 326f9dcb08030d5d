"""``python -m tests.conformance``: one table of how far the product and istiod agree."""

from __future__ import annotations

import sys

from tests.conformance.compare import EXPLAINED, Comparison, behaviour, structure, validation
from tests.conformance.structure import LEFT_OUT


def main() -> int:
    """Print the table, every difference with its reason, and what is not compared.

    Returns:
        0, or 1 when a difference has no known reason.
    """
    contracts, calls = behaviour()
    rows = [
        ("behaviour", contracts),
        ("behaviour", calls),
        ("validation", validation()),
        ("structure", structure()),
    ]
    lines = [f"{'recorded':<12}{'what':<16}{'agree':>7}{'of':>7}{'explained':>11}{'differ':>8}"]
    lines += [_row(recorded, comparison) for recorded, comparison in rows]
    for recorded, comparison in rows:
        for identity, difference in comparison.differing.items():
            reason = EXPLAINED.get(identity, "NOT EXPLAINED")
            lines.append(f"{recorded} {identity}: {difference}\n  reason: {reason}")
    lines.append("\nnot compared in configurations:")
    lines += [f"  {what}: {reason}" for what, reason in LEFT_OUT.items()]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if any(comparison.unexplained for _, comparison in rows) else 0


def _row(recorded: str, comparison: Comparison) -> str:
    differ = len(comparison.unexplained)
    explained = len(comparison.differing) - differ
    return (
        f"{recorded:<12}{comparison.what:<16}{comparison.agreeing:>7}{comparison.total:>7}"
        f"{explained:>11}{differ:>8}"
    )


if __name__ == "__main__":
    raise SystemExit(main())

"""``python -m tests.conformance``: one table of how far the product and istiod agree."""

from __future__ import annotations

import sys
from collections import Counter

from tests.conformance.cases import RECORDED, enforced, needs_a_cluster, recorded
from tests.conformance.compare import (
    EXPLAINED,
    Comparison,
    behaviour,
    differential,
    foretold,
    structure,
    validation,
)
from tests.conformance.structure import ALLOWED, UNORDERED


def main() -> int:
    """Print the table, every difference with its reason, and what is not compared.

    Returns:
        0, or 1 when a difference has no known reason.
    """
    rows = compared()
    lines = [f"{'recorded':<13}{'what':<16}{'agree':>7}{'of':>7}{'explained':>11}{'differ':>8}"]
    lines[0] += f"{'allowed':>9}"
    lines += [_row(name, comparison) for name, comparison in rows]
    for name in RECORDED:
        refused = sum(needs_a_cluster(case) for case in recorded(name) if "calls" in case)
        lines += [f"{name}: calls of {refused} contracts need a cluster"] if refused else []
    for name, comparison in rows:
        for identity, difference in comparison.differing.items():
            reason = EXPLAINED.get(identity, "NOT EXPLAINED")
            lines.append(f"{name} {identity}: {difference}\n  reason: {reason}")
    allowed: Counter[str] = Counter()
    for _, comparison in rows:
        allowed.update(comparison.allowed)
    lines.append("\nallowed to be absent in our configurations:")
    lines += [f"  {allowed[it.name]:>5} {it.name}: {it.reason}" for it in ALLOWED]
    lines.append(f"order that istiod itself does not keep: {', '.join(UNORDERED)}")
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if any(comparison.unexplained for _, comparison in rows) else 0


def compared() -> list[tuple[str, Comparison]]:
    """Each comparison of recorded cases."""
    documents, whole, generated = map(recorded, ("validation", "structure", "generated"))
    pushed = [*enforced("structure"), *enforced("generated")]
    return [
        ("validation", validation(documents)),
        *(("behaviour", it) for it in behaviour(enforced("behaviour"))),
        ("behaviour", foretold(enforced("behaviour"))),
        ("structure", structure(whole)),
        ("generated", structure(generated)),
        *(("generated", it) for it in behaviour(enforced("generated"))),
        ("generated", foretold(enforced("generated"))),
        *(("differential", it) for it in differential(pushed)),
    ]


def _row(name: str, comparison: Comparison) -> str:
    differ = len(comparison.unexplained)
    explained = len(comparison.differing) - differ
    return (
        f"{name:<13}{comparison.what:<16}{comparison.agreeing:>7}{comparison.total:>7}"
        f"{explained:>11}{differ:>8}{sum(comparison.allowed.values()):>9}"
    )


if __name__ == "__main__":
    raise SystemExit(main())

"""``python -m tests.fuzz [COUNT] [SEED]``: mutated contract files, and which of them fail."""

from __future__ import annotations

import resource
import secrets
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.fuzz.trial import trials

_MEMORY = 1 << 30  # bytes


def main(arguments: list[str]) -> int:
    """Try COUNT files (default: 100,000); print the seed, each failure, and the counts.

    Returns:
        0, or 1 when a file led to a traceback, took more than two seconds of processor time, or
        the process took more than 1 GB.
    """
    count = int(arguments[0]) if arguments else 100_000
    seed = arguments[1] if len(arguments) > 1 else secrets.token_hex(4)
    _say(f"seed {seed}")
    outcomes: Counter[str] = Counter()
    slowest, failed, begin = 0.0, 0, time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        for number, trial in enumerate(trials(seed, count, Path(directory)), 1):
            outcomes[trial.outcome or "failed"] += 1
            slowest = max(slowest, trial.seconds)
            if trial.failed:
                failed += 1
                _say(f"{trial.seed}: {trial.seconds:.1f} s\n{trial.failure}")
            if number % 5000 == 0:
                _say(f"{number} of {count}, {failed} failed")
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    told = ", ".join(f"{n} {outcome}" for outcome, n in outcomes.most_common())
    _say(
        f"{count} files: {told}; {failed} failed; slowest {slowest:.2f} s of processor time, "
        f"{used / 1e6:.0f} MB, {time.monotonic() - begin:.0f} s"
    )
    return 1 if failed or used > _MEMORY else 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

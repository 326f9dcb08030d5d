"""The mutation score of a contract, one process beside two workers: the clock, CPU, and the result.

The contract is of HTTPS entries; its own automatic checks are the tests. What both runs say of the
mutants must be the same. On a machine that does other things too, look at the CPU.
"""

from __future__ import annotations

import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _measure import contract, environment, machine

ENTRIES = 12


def run(directory: Path, *options: str) -> tuple[str, str]:
    """Seconds and those of CPU; what is told of the mutants."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--egress-mutate"]
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [*command, *options, str(directory)], capture_output=True, text=True, check=True,
        env=environment(), cwd=directory.parent,
    )  # fmt: skip
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    told = done.stdout.partition(" egress mutation =")[2].rpartition("\n")[0]
    lines = [it for it in told.splitlines() if re.match(r"\d+ of |survived| +to kill", it)]
    return f"{seconds:6.1f} s  {cpu:6.1f} s of CPU  {lines[0]}", "\n".join(lines)


if __name__ == "__main__":
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        files = Path(name, "egress")
        files.mkdir()
        (files / "all.yaml").write_text(contract(ENTRIES))
        print(f"{ENTRIES} ServiceEntries")
        alone, expected = run(files)
        print("one process  ", alone)
        shared, found = run(files, "-n", "2")
        print("two workers  ", shared)
        sys.exit(0 if found == expected else "the two do not say the same")

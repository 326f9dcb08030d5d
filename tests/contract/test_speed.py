"""Loading is fast enough to be done on every run."""

from __future__ import annotations

import subprocess
import sys
import time

from pytest_egress.contract import loads
from tests.contract.samples import ENTRY


def test_five_thousand_entries_load_within_a_second() -> None:
    """Read, decoded, validated and linted; the best of three, for busy machines."""
    text = "---\n".join(ENTRY.replace("weather", f"w{i}") for i in range(5000))
    took = []
    for _ in range(3):
        start = time.perf_counter()
        contract = loads(text)
        took.append(time.perf_counter() - start)
    assert len(contract.service_entries) == 5000
    assert contract.warnings == ()
    assert min(took) <= 1.0, took
    last = contract.service_entries[-1]
    assert last.at("spec", "hosts", 0).line == 4999 * (ENTRY.count("\n") + 1) + 8


def test_importing_the_package_does_not_import_yaml() -> None:
    """What pytest loads at start stays light."""
    program = "import sys, pytest_egress.contract\nprint('yaml' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"

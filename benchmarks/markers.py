"""200 marker assertions as a whole pytest process, beside 200 empty tests."""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from _measure import contract, machine, median_ms, paired

RUNS = 5
TESTS = 200

MARKED = """
import pytest

@pytest.mark.parametrize("number", range({half}))
@pytest.mark.egress_reachable("https://service-0.example.com")
def test_reachable(number): pass

@pytest.mark.parametrize("number", range({half}))
@pytest.mark.egress_blocked("https://evil.example")
def test_blocked(number): pass
"""
EMPTY = """
import pytest

@pytest.mark.parametrize("number", range({tests}))
def test_empty(number): pass
"""


def main() -> None:
    """Run both suites in turn."""
    print(machine())
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "egress.yaml").write_text(contract(10))
        Path(directory, "pytest.ini").write_text("[pytest]\negress_contract = egress.yaml\n")
        Path(directory, "test_marked.py").write_text(MARKED.format(half=TESTS // 2))
        Path(directory, "test_empty.py").write_text(EMPTY.format(tests=TESTS))
        pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        empty, marked = paired(
            [*pytest, "test_empty.py"], [*pytest, "test_marked.py"], RUNS, directory
        )
    each = (statistics.median(marked) - statistics.median(empty)) / TESTS
    print(f"{TESTS} empty tests        {median_ms(empty)}")
    print(f"{TESTS} marker assertions  {median_ms(marked)}")
    print(f"one assertion          {each * 1e3:8.2f} ms, start of the proxy included")


if __name__ == "__main__":
    main()

"""What the installed but unused plugin costs a bare pytest run (goal: at most 5 ms)."""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from pathlib import Path

from _measure import machine, median_ms, paired

RUNS = 40


def main() -> None:
    """Run an empty suite with and without the plugin, in turn."""
    print(machine())
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "test_nothing.py").write_text("def test_nothing(): pass\n")
        # Other installed plugins would only add noise.
        os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        without, with_plugin = paired(
            pytest, [*pytest, "-p", "pytest_egress.plugin"], RUNS, directory
        )
    difference = statistics.median(with_plugin) - statistics.median(without)
    print(f"pytest without the plugin  {median_ms(without)}")
    print(f"pytest with the plugin     {median_ms(with_plugin)}")
    least = min(with_plugin) - min(without)
    print(f"difference of the medians  {difference * 1e3:8.2f} ms  (goal: 5)")
    print(f"difference of the minima   {least * 1e3:8.2f} ms  (what load adds is left out)")


if __name__ == "__main__":
    main()

"""Contracts of 10 to 5,000 entries: load, compile, ready, memory (goal at 5,000: 3 s, 500 MB).

Beside them, Envoy alone: the very same bootstrap started again with nothing of ours around it but
the name server that answers it.
"""

from __future__ import annotations

import json
import resource
import socket
import subprocess
import time
from pathlib import Path

from _measure import contract, machine

from pytest_egress import Egress, LocalBackend, Workload, loads
from pytest_egress.backends.binary import find_envoy
from pytest_egress.envoy import compile_contract

SIZES = (10, 100, 1000, 5000)
ROW = "{:>6} {:>9} {:>9} {:>9} {:>9} {:>12} {:>9} {:>9}"


def resident(pid: int) -> float:
    """Peak resident memory of a process in MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("VmHWM is missing")


def envoy_alone(directory: Path, bootstrap: dict[str, object]) -> float:
    """Seconds that Envoy needs from its start until it accepts, on the same bootstrap."""
    mesh = directory / "again.sock"
    text = json.dumps(bootstrap).replace(str(directory / "0.sock"), str(mesh))
    text = text.replace(str(directory / "admin.sock"), str(directory / "again-admin.sock"))
    config = directory / "again.json"
    config.write_text(text)
    start = time.perf_counter()
    process = subprocess.Popen(
        [str(find_envoy()), "-c", str(config), "--use-dynamic-base-id", "--disable-hot-restart",
         "--concurrency", "1", "--log-level", "error"],
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        while True:
            with socket.socket(socket.AF_UNIX) as connection:
                try:
                    connection.connect(str(mesh))
                except OSError:
                    if process.poll() is not None:
                        raise RuntimeError("Envoy ended") from None
                    time.sleep(0.001)
                else:
                    return time.perf_counter() - start
    finally:
        process.kill()
        process.wait()


def measure(entries: int) -> None:
    """Print one row."""
    text = contract(entries)
    t0 = time.perf_counter()
    declared = loads(text)
    t1 = time.perf_counter()
    compile_contract(declared, Workload())
    t2 = time.perf_counter()
    backend = LocalBackend()
    mesh = backend.enforce(declared, Workload())  # compiles again: ready includes it
    t3 = time.perf_counter()
    outcome = Egress(backend, declared).get(f"https://service-{entries - 1}.example.com")
    assert outcome.reachable, outcome.explain()
    memory = resident(mesh.pid)
    alone = envoy_alone(mesh.directory, mesh.bootstrap())
    backend.close()
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    total = (t1 - t0) + (t3 - t2)
    print(
        ROW.format(
            entries, f"{t1 - t0:.3f}", f"{t2 - t1:.3f}", f"{t3 - t2:.3f}", f"{total:.3f}",
            f"{alone:.3f}", f"{memory:.0f}", f"{own:.0f}",
        )
    )  # fmt: skip


if __name__ == "__main__":
    print(machine())
    print("seconds; 'load' reads, validates and lints; 'ready' compiles, starts Envoy and waits")
    print("until the positive control has passed through it; memory in MB")
    print(ROW.format("entries", "load", "compile", "ready", "in all", "Envoy alone", "Envoy", "we"))
    for size in SIZES:
        measure(size)

"""Shared by the benchmarks: medians, paired runs of whole processes, contracts of any size."""

from __future__ import annotations

import os
import platform
import resource
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple


def machine() -> str:
    """One line that says where the figures were taken."""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python " + (
        platform.python_version()
    )


def environment() -> dict[str, str]:
    """The environment of measured processes: compiled modules are kept, as for any user."""
    return {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}


def median_ms(samples: Sequence[float]) -> str:
    """Median with minimum and maximum, in milliseconds."""
    values = [sample * 1e3 for sample in samples]
    return f"{statistics.median(values):8.2f} ms  (min {min(values):.2f}, max {max(values):.2f})"


def timed(action: Callable[[], object]) -> float:
    """Seconds that one call takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def paired(
    first: Sequence[str], second: Sequence[str], runs: int, cwd: str
) -> tuple[list[float], list[float]]:
    """Wall time of two commands as whole processes, run in turn so that load hits both alike.

    Raises:
        subprocess.CalledProcessError: a command failed; its figure would be worth nothing.
    """
    samples: tuple[list[float], list[float]] = ([], [])
    for number in range(runs + 1):
        for command, kept in zip((first, second), samples, strict=True):
            seconds = timed(
                lambda command=command: subprocess.run(
                    command, cwd=cwd, check=True, capture_output=True, env=environment()
                )
            )
            if number:  # the first round warms the caches
                kept.append(seconds)
    return samples


class Spent(NamedTuple):
    """What a process took, in seconds: of the clock, and of the processor with its children."""

    wall: float
    cpu: float

    @classmethod
    def least(cls, samples: Sequence[Spent]) -> Spent:
        """The least of several: whatever else runs only ever adds."""
        return cls(min(it.wall for it in samples), min(it.cpu for it in samples))


def spent_by(command: Sequence[str], cwd: str) -> Spent:
    """What a command takes as a whole process.

    Raises:
        subprocess.CalledProcessError: it failed; its figure would be worth nothing.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = timed(
        lambda: subprocess.run(command, cwd=cwd, check=True, capture_output=True, env=environment())
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Spent(seconds, cpu)


def contract(entries: int) -> str:
    """A contract of HTTPS entries resolved by DNS, one document each."""
    return "---\n".join(
        f"""apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata:
  name: service-{number}
  namespace: default
spec:
  hosts:
  - service-{number}.example.com
  location: MESH_EXTERNAL
  ports:
  - number: 443
    name: https
    protocol: HTTPS
  resolution: DNS
"""
        for number in range(entries)
    )

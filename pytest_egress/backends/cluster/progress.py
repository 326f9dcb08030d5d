"""Waiting for a cluster: what for, and how long by now, is told on the terminal."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Say", "step", "told", "until"]

_QUIET = 2.0  # seconds that a step may take without being mentioned
_INTERVAL = 5.0  # seconds between two words about the same step

#: Says one line to whoever watches the run.
Say = Callable[[str], None]


def told(line: str) -> None:
    """Write a line to the terminal, past pytest's capture of standard error."""
    stream = sys.__stderr__
    if stream is not None and not stream.closed:
        stream.write(f"egress: {line}\n")
        stream.flush()


@contextmanager
def step(what: str, say: Say) -> Iterator[None]:
    """Say what is being done and for how long, once it lasts."""
    begun = time.monotonic()
    ended = threading.Event()

    def watch() -> None:
        wait = _QUIET
        while not ended.wait(wait):
            say(f"{what} ({time.monotonic() - begun:.0f} s)")
            wait = _INTERVAL

    thread = threading.Thread(target=watch, name="pytest-egress-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def until(
    done: Callable[[], str],
    timeout: float,
    what: str,
    say: Say,
    *,
    interval: float = 0.2,
) -> str:
    """Ask ``done`` until it says nothing more is missing; returns what is missing at the end.

    Args:
        done: empty when all is there, else what is missing.
        timeout: seconds.
        what: for the terminal: ``waiting for the test pod``.
        say: tells it.
        interval: seconds between two questions.
    """
    deadline = time.monotonic() + timeout
    with step(what, say):
        while True:
            missing = done()
            if not missing or time.monotonic() >= deadline:
                return missing
            time.sleep(min(interval, max(0.0, deadline - time.monotonic())))

"""The private directory of a run: 0700, swept when its owner dies and by the next run.

Everything that a run leaves on disk stands below one directory, ``pytest-egress-<uid>-<random>``,
in the system's temporary directory. Three things empty it: the run itself; a small shell that
holds a pipe to the run and acts when that pipe breaks (kill -9 included); and the next run, which
takes over every directory whose lock is free.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_egress.backends.ownership import Leftover
    from pytest_egress.backends.registry import Get

__all__ = ["PrivateDirectory", "leftovers", "sweep"]

_PREFIX = f"pytest-egress-{os.getuid() if hasattr(os, 'getuid') else 0}-"
_NEW = "." + _PREFIX
_MAKING = 60  # seconds
_LOCK = "owner.lock"
_PID_SUFFIX = ".pid"
# Unix socket paths end at 104 bytes on macOS and 108 on Linux; ours add up to 40.
_LONGEST_BASE = 60

# Reads until the run is gone, then kills what the pid files name (when it is still the same
# program: its arguments name this directory) and removes the directory.
_WATCHDOG = """
while read -r _; do :; done
for f in "$1"/*/*.pid; do
  [ -f "$f" ] || continue
  pid=$(cat "$f")
  case "$(tr '\\0' ' ' </proc/"$pid"/cmdline || ps -ww -o args= -p "$pid")" in
    *"$1"*) kill -9 "$pid" ;;
  esac
done
rm -rf "$1"
"""


def _base() -> Path:
    base = Path(tempfile.gettempdir())
    return base if len(str(base)) <= _LONGEST_BASE else Path("/tmp")  # noqa: S108  sun_path is short


class PrivateDirectory:
    """A directory that only this process uses and that never outlives it for long."""

    def __init__(self) -> None:
        sweep()
        # It gets its real name only when its lock is held: another run's sweep would take an
        # unlocked one for abandoned.
        new = Path(tempfile.mkdtemp(prefix=_NEW, dir=_base()))
        self._lock = (new / _LOCK).open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.path = new.rename(new.with_name(_PREFIX + new.name.removeprefix(_NEW)))
        self._watchdog = subprocess.Popen(  # noqa: S603  a constant script
            ["/bin/sh", "-c", _WATCHDOG, "pytest-egress-watchdog", str(self.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._count = 0

    def subdirectory(self, name: str) -> Path:
        """Make and return a new directory below; short, for Unix socket paths."""
        self._count += 1
        path = self.path / f"{name}{self._count}"
        path.mkdir(mode=0o700)
        return path

    def close(self) -> None:
        """Remove the directory and end the watchdog. Twice is once."""
        if self._lock.closed:
            return
        for pid_file in self.path.glob(f"*/*{_PID_SUFFIX}"):
            _kill(pid_file, self.path)
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()
        self._watchdog.kill()
        if self._watchdog.stdin:
            self._watchdog.stdin.close()
        self._watchdog.wait()


def sweep() -> list[Path]:
    """Remove what dead runs of this user left; return the directories that were removed.

    A directory belongs to a dead run when nobody holds its lock. One that is still being made is
    given a minute.
    """
    return [path for path in _directories() if _remove(path)]


def leftovers(get: Get) -> list[Leftover]:
    """The directories of dead runs of this user."""
    del get  # no setting says where they are
    from pytest_egress.backends.ownership import Leftover

    return [
        Leftover("directory", str(path), None, kept=False, remove=partial(_remove, path))
        for path in _directories()
        if _dead(path, lambda: None)
    ]


def _directories() -> list[Path]:
    return sorted([*_base().glob(_PREFIX + "*"), *_base().glob(_NEW + "*")])


def _remove(path: Path) -> bool:
    """Remove a directory and end what runs in it, unless its run is alive."""

    def remove() -> None:
        for pid_file in path.glob(f"*/*{_PID_SUFFIX}"):
            _kill(pid_file, path)
        shutil.rmtree(path, ignore_errors=True)

    return _dead(path, remove)


def _dead(path: Path, act: Callable[[], None]) -> bool:
    """Whether the run of a directory is dead; ``act`` while nobody else can take it over."""
    # OSError: its lock is held, or another run has been faster.
    with contextlib.suppress(OSError), (path / _LOCK).open() as lock:
        if path.name.startswith(_NEW) and time.time() - path.stat().st_mtime < _MAKING:
            return False
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        act()
        return True
    return False


def _kill(pid_file: Path, owner: Path) -> None:
    """Kill the process a pid file names, unless the number now belongs to another program."""
    with contextlib.suppress(ValueError, OSError):
        pid = int(pid_file.read_text())
        if str(owner) in _arguments(pid):
            os.kill(pid, signal.SIGKILL)


def _arguments(pid: int) -> str:
    """The command line of a process; empty when it is gone."""
    if Path("/proc/self/cmdline").exists():
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    return subprocess.run(  # noqa: S603  constant program
        ["/bin/ps", "-ww", "-o", "args=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
    ).stdout

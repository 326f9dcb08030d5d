"""A new container of the pod, held before its program's first instruction.

Seen from a container that shares the pod's process namespace and may trace (``SYS_PTRACE``). While
it is held, its user is known, files can be put into it, and what it writes can be waited for.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pytest_egress.backends.agent.inside.wire import unpack

__all__ = ["Holding", "let_go", "sibling", "trace_to_exec"]

_LOOK = 0.002  # seconds between two looks; a runtime prepares a program's start for 20 ms and more
_MISSES = 500  # looks at a process that has its program, until the event is given up
_WALL = 0x40000000  # of waitpid: whatever kind of child it is
_CONT, _DETACH, _SEIZE = 7, 17, 0x4206
_TRACE_EXEC, _KILL_WITH_TRACER, _EXEC_EVENT = 0x10, 0x100000, 4
# What runc, crun and youki call the process that becomes the program.
_RUNTIME = re.compile(r"runc:\[|crun|youki|[0-9]+$")
_EXTRACT = """
import io, os, sys, tarfile
data = io.BytesIO(sys.stdin.buffer.read())
os.umask(0o022)
os.chroot(sys.argv[1])
os.chdir("/")
tarfile.TarFile.extraction_filter = staticmethod(lambda member, _: member)
try:
    with tarfile.open(fileobj=data) as tar:
        for member in tar:
            tar.extract(member, "/", numeric_owner=True)
except OSError as error:
    sys.exit(f"/{member.name}: {error.strerror}")
"""


class Holding:
    """Holds one new container at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = 0
        self._held: dict[int, _Held] = {}

    def hold(self, _: dict[str, Any]) -> dict[str, Any]:
        """Begin to look for a container that is not there yet."""
        with self._lock:
            self._numbers += 1
            held = _Held()
            self._held[self._numbers] = held
        return {"hold": self._numbers}

    def held(self, request: dict[str, Any]) -> dict[str, Any]:
        """Wait for the container of ``of``; gives its ``uid`` and ``gid``.

        Raises:
            OSError: it cannot be held.
            TimeoutError: none has come in ``timeout`` seconds.
        """
        return self._held[request["of"]].wait(request["timeout"])

    def put(self, request: dict[str, Any]) -> dict[str, Any]:
        """Unpack the archive ``data`` at the root of the container that is held.

        Raises:
            OSError: a file cannot be written.
        """
        root = f"/proc/{self._held[request['of']].pid}/root"
        done = subprocess.run(  # noqa: S603  our own code
            [sys.executable, "-I", "-c", _EXTRACT, root],
            input=unpack(request["data"]),
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise OSError(done.stderr.decode("utf-8", "replace").strip())
        return {}

    def write(self, request: dict[str, Any]) -> dict[str, Any]:
        """Write ``data`` where the container that is held would: to its ``fd`` 1 or 2.

        Raises:
            OSError: it cannot be written.
        """
        path = f"/proc/{self._held[request['of']].pid}/fd/{request['fd']}"
        descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        try:
            os.write(descriptor, unpack(request["data"]))
        finally:
            os.close(descriptor)
        return {}

    def release(self, request: dict[str, Any]) -> dict[str, Any]:
        """Let the container run, or look for it no longer."""
        self._held[request["of"]].release()
        return {}

    def kill(self, request: dict[str, Any]) -> dict[str, Any]:
        """Kill every process of the container; ``forget`` it as well if it is asked for."""
        self._held[request["of"]].kill()
        if request.get("forget"):
            self._held.pop(request["of"]).release()
        return {}

    def close(self) -> None:
        """Kill every container that has not been forgotten."""
        for held in list(self._held.values()):
            held.kill()


class _Held:
    """One container: looked for, held, let go."""

    def __init__(self) -> None:
        self.pid = 0
        self._cgroup = ""
        self._caught = threading.Event()
        self._let_go = threading.Event()
        self._gone = threading.Event()
        self._failure: OSError | None = None
        self._known = {group for _, group in _others()}
        # A tracer is a thread: the one that begins must go on.
        threading.Thread(target=self._follow, daemon=True).start()

    def wait(self, timeout: float) -> dict[str, Any]:
        if not self._caught.wait(timeout):
            raise TimeoutError(f"no container has started within {timeout:g} s")
        if self._failure is not None:
            raise self._failure
        status = Path(f"/proc/{self.pid}/status").read_text("utf-8", "replace")
        fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        return {
            "uid": int(fields["Uid"].split()[1]),
            "gid": int(fields["Gid"].split()[1]),
        }

    def release(self) -> None:
        self._let_go.set()
        self._gone.wait(5.0)

    def kill(self) -> None:
        """Raises PermissionError where the container's user is another and may not be killed."""
        if not self._cgroup:
            return
        while pids := [pid for pid, group in _others() if group == self._cgroup]:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(_LOOK)

    def _follow(self) -> None:
        try:
            self._hold()
        except OSError as error:
            self._failure = error
            self.kill()  # what cannot be held does not run
            self._caught.set()
        finally:
            self._gone.set()

    def _hold(self) -> None:
        while not self.pid:
            if self._let_go.wait(_LOOK):
                return
            for pid, group in _others():
                if group not in self._known:
                    self.pid, self._cgroup = pid, group
                    break
        trace_to_exec(self.pid)
        self._caught.set()
        self._let_go.wait()
        let_go(self.pid)


def trace_to_exec(pid: int) -> None:
    """Hold a process that a container runtime has made at its next program's first instruction.

    It stays so until the calling thread lets it go, and is killed if that thread ends first.

    Raises:
        ProcessLookupError: it has ended without one.
        OSError: it may not be traced, or its program had begun already.
    """
    _must_be_waiting(pid)
    _ptrace(_SEIZE, pid, _TRACE_EXEC | _KILL_WITH_TRACER)
    misses = 0
    while True:
        found, status = os.waitpid(pid, os.WNOHANG | _WALL)
        if not found:
            # The event comes soon after the program's name, unless both came before the tracing.
            misses += not _RUNTIME.match(_name(pid))
            if misses > _MISSES:
                _must_be_waiting(pid)
            time.sleep(_LOOK)
            continue
        if not os.WIFSTOPPED(status):
            raise ProcessLookupError("the container's first process has ended before its program")
        event, number = status >> 16, os.WSTOPSIG(status)
        if event == _EXEC_EVENT:
            return
        _ptrace(_CONT, pid, 0 if event else number)


def _must_be_waiting(pid: int) -> None:
    name = _name(pid)
    if not _RUNTIME.match(name):
        raise OSError(f"its program ({name}) had begun before it was seen")


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text("utf-8", "replace").strip()
    except FileNotFoundError:
        raise ProcessLookupError(f"the process {pid} has ended") from None


def let_go(pid: int) -> None:
    """Let a process that this thread holds run on, untraced.

    Raises:
        OSError: it has ended.
    """
    _ptrace(_DETACH, pid, 0)


def sibling(path: str, own: str) -> bool:
    """Whether a control group is that of another container in the pod of the group ``own``."""
    if own == "/":  # the container sees its own group as the root
        return path.startswith("/../") and path.count("/") == 2
    return path != own and path.rpartition("/")[0] == own.rpartition("/")[0] != ""


def _others() -> Iterator[tuple[int, str]]:
    """The processes of the pod's other containers, each with the control group of its own."""
    own = dict(_groups("self"))
    with os.scandir("/proc") as entries:
        names = [it.name for it in entries if it.name.isdecimal()]
    for name in names:
        for controllers, path in _groups(name):
            if sibling(path, own.get(controllers, "")):
                yield int(name), path
                break


def _groups(pid: str) -> Iterator[tuple[str, str]]:
    """The control groups of a process by their controllers."""
    try:
        text = Path(f"/proc/{pid}/cgroup").read_text("utf-8", "replace")
    except OSError:  # it has ended
        return
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        yield controllers, path


def _ptrace(request: int, pid: int, data: int) -> None:
    import ctypes  # an image without it still has an agent

    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    libc.ptrace.restype = ctypes.c_long
    if libc.ptrace(request, pid, None, data) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"the process {pid} cannot be held: {os.strerror(number)}")

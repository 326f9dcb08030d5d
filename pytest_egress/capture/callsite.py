"""The line of the user's code that a connection is made for."""

from __future__ import annotations

import sys
import sysconfig
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import FrameType

__all__ = ["CallSite", "call_site"]


@dataclass(frozen=True, slots=True)
class CallSite:
    """A place in a source file.

    Attributes:
        file: the path as Python has it.
        line: counted from 1.
        function: the name of the function around it.
    """

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{_shown(self.file)}:{self.line} in {self.function}"


def call_site() -> CallSite | None:
    """The innermost frame of this thread that is neither a library's nor Python's own.

    None where there is no such frame: a client library that connects in a task or thread of its
    own has none of the caller's on its stack.
    """
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the cheap way up the stack
    while frame is not None:
        code = frame.f_code
        if _is_users(code.co_filename):
            return CallSite(code.co_filename, frame.f_lineno, code.co_name)
        frame = frame.f_back
    return None


@lru_cache(maxsize=1)
def _library_roots() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    roots = {paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    roots.add(str(Path(__file__).resolve().parents[1]))
    return tuple(sorted(f"{root}/" for root in roots))


@lru_cache(maxsize=4096)
def _is_users(file: str) -> bool:
    if file.startswith("<"):
        return False
    if "/site-packages/" in file or "/dist-packages/" in file:
        return False
    return not file.startswith(_library_roots())


def _shown(file: str) -> str:
    try:
        return str(Path(file).relative_to(Path.cwd()))
    except ValueError:
        return file

"""The files of a contract: what paths, directories and globs stand for, and their bytes."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from pytest_egress.contract.position import Position, Problem
from pytest_egress.contract.reader import MAX_BYTES, decode, too_large

__all__ = ["StrPath", "expand", "read_text"]

StrPath = str | os.PathLike[str]

_SUFFIXES = (".yaml", ".yml")
_OF_A_CHART = ("Chart.", "values")  # beside Chart.yaml: never an object of Kubernetes
_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def expand(paths: StrPath | Iterable[StrPath], problems: list[Problem]) -> list[str]:
    """The files that paths stand for, each once, in the order given.

    A directory stands for every ``*.yaml`` and ``*.yml`` in and below it (hidden directories
    and a Helm chart's own settings left out), a glob (``**`` included) for what it matches; both
    sorted. A path that stands for nothing is appended to ``problems``.
    """
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    files: dict[str, str] = {}
    folders: dict[str, str] = {}
    for path in [os.fspath(item) for item in given]:
        if os.path.isdir(path):  # noqa: PTH112 - the path is shown as it was given
            found = sorted(_walk(path, problems))
            nothing = "the directory has no *.yaml or *.yml file"
        elif glob.has_magic(path) and not os.path.lexists(path):
            found = sorted(glob.glob(path, recursive=True))  # noqa: PTH207
            found = [name for name in found if not Path(name).is_dir()]
            nothing = "the pattern matches no file"
        else:
            found, nothing = [path], ""
        if not found:
            message = f"{nothing}: correct the path, or take it out of the contract"
            problems.append(_problem(path, "file/no-match", message))
        for name in found:
            files.setdefault(_real(name, folders), name)
    return list(files.values())


def read_text(file: str) -> str | Problem:
    """The text of a regular file, or the one reason why there is none; never blocks."""
    try:
        kind = os.stat(file).st_mode  # noqa: PTH116
        if not stat.S_ISREG(kind):
            what = next((name for test, name in _KINDS if test(kind)), "not a regular file")
            message = f"this is {what}, not a file: name a YAML file"
            return _problem(file, "file/not-regular", message)
        # O_NONBLOCK: should a pipe have taken the file's place, opening it returns at once
        with os.fdopen(os.open(file, os.O_RDONLY | os.O_NONBLOCK), "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if size > MAX_BYTES:
                return too_large(size, file)
            return decode(stream.read(MAX_BYTES + 1), file)
    except (OSError, ValueError) as error:
        return _problem(file, *_reason(file, error))


def _reason(file: str, error: OSError | ValueError) -> tuple[str, str]:
    if isinstance(error, FileNotFoundError):
        if os.path.islink(file):  # noqa: PTH114
            target = os.readlink(file)  # noqa: PTH115
            return "file/dangling-link", f'the link points to "{target}", which does not exist'
        return "file/missing", "there is no such file: correct the path (it is taken as given)"
    if isinstance(error, PermissionError):
        return "file/permission", "no permission to read the file: chmod it, or run as its owner"
    if isinstance(error, NotADirectoryError):
        return "file/missing", "there is no such file: a part of the path is no directory"
    return "file/unreadable", f"cannot be read: {getattr(error, 'strerror', None) or error}"


def _walk(directory: str, problems: list[Problem]) -> Iterator[str]:
    def refused(error: OSError) -> None:
        name = str(error.filename)
        message = f"the directory cannot be read: {error.strerror}"
        problems.append(_problem(name, "file/permission", message))

    for folder, folders, names in os.walk(directory, onerror=refused):
        folders[:] = [name for name in folders if not name.startswith(".")]
        chart = "Chart.yaml" in names
        for name in names:
            if name.endswith(_SUFFIXES) and not (chart and name.startswith(_OF_A_CHART)):
                yield os.path.join(folder, name)  # noqa: PTH118


def _real(name: str, folders: dict[str, str]) -> str:
    """The file that a name leads to; its directory is looked up once for all of its files."""
    folder, base = os.path.split(name)
    if folder not in folders:
        folders[folder] = os.path.realpath(folder)
    path = os.path.join(folders[folder], base)  # noqa: PTH118
    return os.path.realpath(path) if os.path.islink(path) else path  # noqa: PTH114


def _problem(file: str, rule: str, message: str) -> Problem:
    return Problem("error", message, Position(file), rule)

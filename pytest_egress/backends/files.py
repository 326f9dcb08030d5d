"""Files for containers: what a test gives, read once, and as an archive for a root directory."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pytest_egress.errors import ProbeError

__all__ = ["CA_PATH", "File", "Given", "archive", "given", "write"]

#: The simulated outside's CA in the containers of a pod.
CA_PATH = "/etc/pytest-egress/ca.pem"
#: What a test puts at a path: the content, or the path of a file or directory of this machine.
Given = str | bytes | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class File:
    """A file to put into a container.

    Attributes:
        path: absolute, in the container; or relative to a command's own directory.
        content: of the file.
        owner: number of the user, and of the group, that it belongs to.
        mode: its permissions.
    """

    path: str
    content: bytes
    owner: int = 0
    mode: int = 0o644


def given(files: Mapping[str, Given], *, relative: bool = False) -> tuple[File, ...]:
    """The files that a test gives, read.

    Args:
        files: by their absolute path in the container: text or bytes are the content, a
            `pathlib.Path` is a file of this machine, or a directory with all that is below it.
            Of those the permissions are kept; content has 0644.
        relative: by their path in a directory that is made for them.

    Raises:
        ProbeError: a path is not as it is to be, a file cannot be read, or two are at one path.
    """
    expected = "a relative path" if relative else "the absolute path of a file"
    found: dict[str, File] = {}
    for path, value in files.items():
        pure = PurePosixPath(path)
        names = pure.parts[1:] if pure.is_absolute() else pure.parts
        if pure.is_absolute() is relative or ".." in names or not names:
            raise ProbeError(f"files: {path!r}: expected {expected}")
        for file in _read(("" if relative else "/") + "/".join(names), value):
            if file.path in found:
                raise ProbeError(f"files: two are given for {file.path}")
            found[file.path] = file
    return tuple(found.values())


def archive(files: Iterable[File]) -> bytes:
    """A tar archive of ``files`` for the root directory of a container."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for file in files:
            info = tarfile.TarInfo(file.path.lstrip("/"))
            info.size, info.mode, info.uid, info.gid = (
                len(file.content),
                file.mode,
                file.owner,
                file.owner,
            )
            tar.addfile(info, io.BytesIO(file.content))
    return buffer.getvalue()


def write(files: Iterable[File], directory: Path) -> None:
    """Write files below a directory of this machine.

    Raises:
        OSError: one cannot be written.
    """
    for file in files:
        path = directory / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)
        path.chmod(file.mode)


def _read(path: str, value: Given) -> Iterator[File]:
    if isinstance(value, str):
        yield File(path, value.encode())
    elif isinstance(value, bytes):
        yield File(path, value)
    elif isinstance(value, os.PathLike):
        yield from _of_machine(path, Path(value))
    else:
        raise ProbeError(
            f"files: {path}: expected text, bytes or a pathlib.Path, not {type(value).__name__}"
        )


def _of_machine(path: str, source: Path) -> Iterator[File]:
    try:
        if source.is_dir():
            for inner in sorted(it for it in source.rglob("*") if not it.is_dir()):
                yield from _of_machine(f"{path}/{inner.relative_to(source).as_posix()}", inner)
            return
        mode = stat.S_IMODE(source.stat().st_mode)
        yield File(path, source.read_bytes(), mode=mode)
    except OSError as error:
        raise ProbeError(f"files: {source}: {error.strerror or error}") from None

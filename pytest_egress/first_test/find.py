"""The contract files of a repository, and the shortest way to name them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pytest_egress.contract.files import expand, read_text
from pytest_egress.contract.position import Problem

__all__ = ["find_files", "name_files"]

_SUFFIXES = (".yaml", ".yml")
_NOT_SEARCHED = frozenset({"build", "dist", "node_modules", "site-packages", "vendor", "venv"})
_ISTIO = re.compile(
    r"^[ \t]*[\"']?apiVersion[\"']?:[ \t]*[\"']?networking\.istio\.io/", re.MULTILINE
)
_ENTRY = re.compile(
    r"^[ \t]*[\"']?kind[\"']?:[ \t]*[\"']?ServiceEntry(List)?[\"']?[ \t]*(#|$)", re.MULTILINE
)
_TEMPLATE = re.compile(r"\{\{|\{%")


def find_files(directory: Path) -> tuple[list[str], list[str]]:
    """The files below ``directory`` that hold Istio's networking resources, and those left out.

    Only directories where some file holds a ServiceEntry count: a repository has Istio resources
    that are of no contract. Hidden directories, installed packages and build output are not
    searched. Paths are relative to ``directory``.

    Returns:
        The files; and the templates among what was found, which only their tool can render.
    """
    holding: dict[str, list[str]] = {}
    templates: list[str] = []
    with_entries: set[str] = set()
    for name in _walk(directory):
        text = read_text(str(directory / name))
        if isinstance(text, Problem) or not _ISTIO.search(text):
            continue
        folder = os.path.dirname(name)  # noqa: PTH120 - a relative name, not a place
        if _TEMPLATE.search(text):
            templates.append(name)
            continue
        holding.setdefault(folder, []).append(name)
        if _ENTRY.search(text):
            with_entries.add(folder)
    found = [name for folder in sorted(with_entries) for name in holding[folder]]
    return found, templates


def name_files(files: Sequence[str], start: Path) -> list[str]:
    """The files as a contract names them: a directory where it stands for exactly these.

    Args:
        files: relative to the current directory, or absolute.
        start: the directory that names are to be relative to.
    """
    wanted = {os.path.realpath(file) for file in files}
    named: dict[str, None] = {}
    for file in files:
        folder = os.path.dirname(file)  # noqa: PTH120 - as it was given
        whole = {os.path.realpath(it) for it in expand(folder, [])} if folder else set()
        place = folder if whole and whole <= wanted else file
        named[_relative(place, start)] = None
    return list(named)


def _relative(path: str, start: Path) -> str:
    return os.path.relpath(os.path.realpath(path), os.path.realpath(start)).replace(os.sep, "/")


def _walk(directory: Path) -> Iterator[str]:
    for folder, folders, names in os.walk(directory):
        folders[:] = sorted(name for name in folders if _is_searched(folder, name))
        for name in sorted(_of_yaml(names)):
            yield os.path.relpath(os.path.join(folder, name), directory)  # noqa: PTH118


def _is_searched(folder: str, name: str) -> bool:
    if name.startswith(".") or name in _NOT_SEARCHED:
        return False
    return not Path(folder, name, "pyvenv.cfg").exists()


def _of_yaml(names: Iterable[str]) -> Iterator[str]:
    return (name for name in names if name.endswith(_SUFFIXES))

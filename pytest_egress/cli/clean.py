"""``pytest-egress clean``: remove what runs have left behind."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from pytest_egress.errors import BackendError, ProbeError

if TYPE_CHECKING:
    from pytest_egress.backends.ownership import Leftover

__all__ = ["add_clean"]

_CANNOT = 3


def add_clean(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    clean = commands.add_parser(
        "clean",
        help="remove what runs have left behind",
        description="Remove the private directories, containers, networks, namespaces and kind "
        "clusters of runs that have ended without doing it themselves. Each run does the same for "
        "those before it. What belongs to a run that goes on is never touched.",
    )
    clean.add_argument("--dry-run", action="store_true", help="only list what would be removed")
    clean.add_argument(
        "--backend",
        default="",
        metavar="NAMES",
        help="look at these backends only, separated by commas, and end with 3 where one of them "
        "cannot be asked",
    )
    clean.add_argument(
        "--kept", action="store_true", help="also what was to outlive its run, if that has ended"
    )
    clean.add_argument(
        "--foreign",
        action="store_true",
        help="also what runs on other machines, or before this boot, have made",
    )
    clean.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from pytest_egress.backends import registry
    from pytest_egress.settings import outside_of_pytest

    asked = [name.strip() for name in options.backend.split(",") if name.strip()]
    failed = False
    counts = {"removed": 0, "left": 0}
    for name in asked or registry.names():
        try:
            chosen = registry.kind(name)
        except ValueError as error:
            raise ProbeError(f"--backend={name}: {error}") from None
        if not asked and registry.missing(chosen):
            continue  # nothing of it can have been run from here
        try:
            found = registry.leftovers(name, outside_of_pytest)
        except BackendError as error:
            print(f"{name}: cannot look: {error}", file=sys.stderr)
            failed |= bool(asked)
            continue
        for word, line, error_of in _clean(found, options):
            print(line, flush=True)
            counts[word] = counts.get(word, 0) + 1
            if error_of:
                print(error_of, file=sys.stderr)
                failed = True
    print(f"{counts['removed']} {_removed(options)}, {counts['left']} left", file=sys.stderr)
    return _CANNOT if failed else 0


def _clean(
    found: Iterable[Leftover], options: argparse.Namespace
) -> Iterator[tuple[str, str, str]]:
    """Remove what is to go; for each ``removed`` or ``left``, the line for it, and the error."""
    for it in found:
        why = _reason_to_stay(it, options)
        if why:
            yield "left", f"left {it}: {why}", ""
            continue
        of = f" of {it.owner}" if it.owner is not None else ""
        try:
            if not options.dry_run:
                it.remove()
        except BackendError as error:
            yield "left", f"left {it}{of}: it cannot be removed", str(error)
        else:
            yield "removed", f"{_removed(options)} {it}{of}", ""


def _reason_to_stay(it: Leftover, options: argparse.Namespace) -> str:
    alive = it.owner.alive() if it.owner is not None else False
    if alive:
        return f"{it.owner} goes on"
    if alive is None and not options.foreign:
        return f"{it.owner} may go on there; --foreign removes it"
    if it.kept and not options.kept:
        return "it is to be kept; --kept removes it"
    return ""


def _removed(options: argparse.Namespace) -> str:
    return "to remove" if options.dry_run else "removed"

"""How the package's modules depend on each other, as docs/architecture.md says."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

import pytest_egress

_ROOT = Path(pytest_egress.__file__).parent

# What a room may not know, as far up as a name of another room goes.
_UNKNOWN = {
    "contract": ("envoy", "decide", "probe", "backends", "upstream", "capture", "verdict"),
    "envoy": ("decide", "probe", "backends", "upstream", "capture", "verdict", "report"),
    "probe": ("contract", "envoy", "decide", "backends", "upstream", "capture", "verdict"),
    "decide": ("backends", "upstream", "capture", "report"),
    "upstream": ("contract", "envoy", "decide", "backends", "capture", "verdict", "report"),
    "verdict": ("contract", "backends", "upstream", "capture", "report"),
    "backends": ("report", "egress", "outcome", "plugin", "fixtures", "collection", "cli"),
    "report": ("egress", "plugin", "fixtures", "collection", "cli"),
}
# Where pytest is spoken to; all other modules work without it.
_PYTEST = (
    "plugin",
    "fixtures",
    "loading",
    "expectations",
    "stash",
    "comparing",
    "gathering",
    "reporting",
    "recording",
    "collection",
    "mutation",
    "bypass",
    "settings",
    "report.terminal",
)


@cache
def _imports() -> Mapping[str, frozenset[str]]:
    """Each module of the package and what it imports: at its top, in functions, for types."""
    files = {
        ".".join(path.relative_to(_ROOT.parent).with_suffix("").parts): path
        for path in _ROOT.rglob("*.py")
    }
    names = {name.removesuffix(".__init__"): path for name, path in files.items()}
    return {
        name: frozenset(_targets(name, path, names.keys())) - {name} for name, path in names.items()
    }


def _targets(name: str, path: Path, known: object) -> Iterator[str]:
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, *([base] if base else [])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield inner if inner in known else base  # type: ignore[operator]


def _reachable(start: str) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        for target in _imports().get(waiting.pop(), frozenset()):
            if target not in found:
                found.add(target)
                waiting.append(target)
    return found


def test_no_circles() -> None:
    """No module leads back to itself, imports within functions and for types included."""
    circles = sorted(name for name in _imports() if name in _reachable(name))
    assert circles == []


@pytest.mark.parametrize("room", _UNKNOWN)
def test_what_a_room_does_not_know(room: str) -> None:
    """The corridor: who comes earlier knows nothing of who comes later."""
    wrong = [
        f"{name} imports {target}"
        for name, targets in _imports().items()
        for target in targets
        if _in(name, (room,)) and _in(target, _UNKNOWN[room])
    ]
    assert wrong == []


def test_who_knows_pytest() -> None:
    """Contract, proxies, probes, backends and reports work without pytest."""
    knowing = {name for name, targets in _imports().items() if _speaks_pytest(targets)}
    assert sorted(name for name in knowing if not _in(name, _PYTEST)) == []


def _in(name: str, rooms: tuple[str, ...]) -> bool:
    return any(f"{name}.".startswith(f"pytest_egress.{room}.") for room in rooms)


def _speaks_pytest(targets: frozenset[str]) -> bool:
    return any(target.split(".")[0] in {"pytest", "_pytest", "xdist"} for target in targets)


def test_the_package_is_read() -> None:
    """The tests above look at what is there: modules, and what they import."""
    assert len(_imports()) > 300
    assert "pytest_egress.envoy.program" in _reachable("pytest_egress.egress")
    assert _in("pytest_egress.envoy.program", ("envoy",))
    assert sys.modules["pytest_egress"].__file__ == str(_ROOT / "__init__.py")

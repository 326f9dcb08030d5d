"""The public surface, what importing it costs, and which room may know which."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib.metadata import entry_points, metadata
from pathlib import Path

import pytest

import pytest_egress

PACKAGE = Path(pytest_egress.__file__).parent
# What an unused plugin must never load: each takes longer than the whole plugin may.
HEAVY = {"yaml", "ssl", "cryptography", "trustme", "requests", "h2", "msgpack", "dataclasses"}
# Data goes one way; a room knows those before it only. `contract` is known by everybody.
FORBIDDEN = {
    "contract": {"envoy", "probe", "verdict", "upstream", "backends", "egress", "report", "pytest"},
    "envoy": {
        "probe",
        "verdict",
        "upstream",
        "backends",
        "egress",
        "report",
        "subprocess",
        "pytest",
    },
    "probe": {"contract", "envoy", "verdict", "upstream", "backends", "egress", "report", "pytest"},
    "upstream": {"envoy", "probe", "verdict", "backends", "egress", "report", "pytest"},
    "verdict": {"envoy", "upstream", "backends", "egress", "report", "pytest"},
    "backends": {"egress", "report", "fixtures", "plugin", "settings", "loading", "pytest"},
}


def test_all_is_sorted_and_complete() -> None:
    """Each public name can be imported; nothing else is offered."""
    assert pytest_egress.__all__ == sorted(pytest_egress.__all__)
    for name in pytest_egress.__all__:
        assert getattr(pytest_egress, name).__name__ == name
    misspelt = "Egres"
    with pytest.raises(AttributeError, match="no attribute 'Egres'"):
        getattr(pytest_egress, misspelt)


def test_package_is_typed_and_registered() -> None:
    """Type checkers see the types; pytest finds the plugin."""
    assert (PACKAGE / "py.typed").exists()
    assert "Framework :: Pytest" in metadata("pytest-egress").get_all("Classifier", [])
    plugins = {point.name: point.value for point in entry_points(group="pytest11")}
    assert plugins["egress"] == "pytest_egress.plugin"


def test_plugin_loads_nothing_heavy() -> None:
    """The entry module of the plugin leaves heavy libraries alone."""
    code = (
        "import sys, pytest; before = set(sys.modules); import pytest_egress.plugin;"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "pytest_egress" in loaded
    assert not HEAVY.intersection(loaded)


@pytest.mark.parametrize("room", FORBIDDEN)
def test_the_corridor_goes_one_way(room: str) -> None:
    """No room imports one that comes after it."""
    files = list((PACKAGE / room).rglob("*.py")) or [PACKAGE / f"{room}.py"]
    assert files
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            names: list[str] = []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            for name in names:
                known = name.removeprefix("pytest_egress.").partition(".")[0]
                assert known not in FORBIDDEN[room], f"{path}: {name}"

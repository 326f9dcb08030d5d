"""What the package may import, what it exports, and what that costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_egress import probe

_PACKAGE = Path(probe.__file__).parent


@pytest.mark.parametrize("path", sorted(_PACKAGE.glob("*.py")), ids=lambda path: path.name)
def test_only_the_standard_library(path: Path) -> None:
    """Every import is a sibling or of the standard library: the package runs inside pods."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            assert node.level == 1
            continue
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names


def test_every_public_name_is_there() -> None:
    """Lazy names resolve, and a misspelt one is an AttributeError."""
    for name in probe.__all__:
        assert getattr(probe, name) is not None
    assert not hasattr(probe, "Atempt")


def test_importing_the_package_loads_nothing() -> None:
    """The package itself is free; its modules come with the first use of a name."""
    code = (
        "import sys, types\n"
        "parent = sys.modules['pytest_egress'] = types.ModuleType('pytest_egress')\n"
        f"parent.__path__ = [{str(_PACKAGE.parent)!r}]\n"
        "import pytest_egress.probe\n"
        "print([m for m in sys.modules if m.startswith('pytest_egress.probe.')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"

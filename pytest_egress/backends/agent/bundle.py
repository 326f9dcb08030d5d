"""What is sent into the pod: a command that loads code from its first line, and that line.

The code lives in the memory of one process. A pod needs Python 3.10 and nothing else: no package,
no writable directory.
"""

from __future__ import annotations

import base64
import json
import zlib
from functools import cache
from importlib.resources import files

__all__ = ["command", "first_line"]

_PACKAGES = ("pytest_egress.probe", "pytest_egress.backends.agent.inside")
_MODULES = {"pytest_egress.capture.namespace": ("netlink",)}
# Packages on the way to them, whose own code stays at home.
_EMPTY = (
    "pytest_egress",
    "pytest_egress.backends",
    "pytest_egress.backends.agent",
    "pytest_egress.capture",
    "pytest_egress.capture.namespace",
)

_BOOT = """
import sys
if sys.version_info < (3, 10):
    sys.exit("the agent needs Python 3.10 or newer, this is " + sys.version.split()[0])
import base64, importlib.abc, importlib.util, json, os, zlib
line = b""
while not line.endswith(b"\\n"):
    more = os.read(0, 65536)
    if not more:
        sys.exit("the code did not come")
    line += more
code = json.loads(zlib.decompress(base64.b64decode(line)))
class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path, target=None):
        if name in code:
            package = code[name][0]
            return importlib.util.spec_from_loader(name, self, is_package=package)
    def exec_module(self, module):
        exec(compile(code[module.__name__][1], module.__name__, "exec"), module.__dict__)
sys.meta_path.insert(0, Finder())
from pytest_egress.backends.agent.inside.server import main
main()
"""


def command(python: str = "python3") -> list[str]:
    """Return the command that starts the agent.

    Args:
        python: the interpreter in the pod. ``-I``: what lies around there is not imported.
    """
    return [python, "-I", "-c", _BOOT]


@cache
def first_line() -> bytes:
    """Return the line that the command reads before all else: the code."""
    code: dict[str, tuple[bool, str]] = dict.fromkeys(_EMPTY, (True, ""))
    for package in _PACKAGES:
        for source in files(package).iterdir():
            name, dot, suffix = source.name.rpartition(".")
            if (dot, suffix) == (".", "py"):
                whole = package if name == "__init__" else f"{package}.{name}"
                code[whole] = (name == "__init__", source.read_text("utf-8"))
    for package, names in _MODULES.items():
        for name in names:
            text = files(package).joinpath(f"{name}.py").read_text("utf-8")
            code[f"{package}.{name}"] = (False, text)
    text = json.dumps(code, sort_keys=True)
    return base64.b64encode(zlib.compress(text.encode(), 9)) + b"\n"

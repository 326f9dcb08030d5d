"""One setting under its four names, and how its text is read."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

__all__ = [
    "Setting",
    "backends",
    "choice",
    "count",
    "parse_workload",
    "paths",
    "percent",
    "seconds",
    "truth",
]


def paths(text: str) -> list[str]:
    """Read a list that is divided as PATH is."""
    return [part for part in text.split(os.pathsep) if part]


def truth(text: str) -> bool:
    """Read true or false.

    Raises:
        ValueError: it is neither.
    """
    if text.lower() in {"1", "true", "yes", "on"}:
        return True
    if text.lower() in {"0", "false", "no", "off", ""}:
        return False
    raise ValueError("expected true or false")


def seconds(text: str) -> float:
    """Read a number of seconds, greater than 0 and a day at most.

    Raises:
        ValueError: it is none.
    """
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 86_400:
        raise ValueError("expected a number of seconds greater than 0")
    return value


def percent(text: str) -> float:
    """Read a share, 0 to 100, with or without its sign.

    Raises:
        ValueError: it is none.
    """
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:
        raise ValueError("expected a share in percent, 0 to 100")
    return value


def count(text: str) -> int:
    """Read how many there are to be, 1 to 100.

    Raises:
        ValueError: it is no such number.
    """
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 100:
        raise ValueError("expected a number from 1 to 100")
    return int(text)


def choice(*choices: str) -> Callable[[str], str]:
    """Make a reader of one of some words, which names the nearest in its ValueError."""

    def parse(text: str) -> str:
        if text in choices:
            return text
        import difflib

        close = difflib.get_close_matches(text, choices, n=1, cutoff=0.3)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ValueError(f"expected {' or '.join(choices)}{hint}")

    return parse


def backends(text: str) -> tuple[str, ...]:
    """Read the names of one backend or more, separated by commas."""
    from pytest_egress.backends.registry import kind

    names = tuple(kind(name.strip()).name for name in text.split(","))
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name} is named twice")
    return names


def parse_workload(text: str) -> tuple[str, Mapping[str, str]]:
    """Read ``NAMESPACE`` or ``NAMESPACE/key=value,key=value``.

    Raises:
        ValueError: it is neither.
    """
    namespace, _, rest = text.partition("/")
    labels: dict[str, str] = {}
    for part in filter(None, rest.split(",")):
        key, equals, value = part.partition("=")
        if not equals or not key:
            raise ValueError("expected NAMESPACE or NAMESPACE/key=value,key=value")
        labels[key] = value
    if not namespace:
        raise ValueError("expected NAMESPACE or NAMESPACE/key=value,key=value")
    return namespace, labels


class Setting(NamedTuple):
    """One setting under its four names.

    A named tuple, since this module is part of every pytest run on a machine that has the plugin:
    a dataclass would take a fifth of its time.

    Attributes:
        parse: reads the text of an option, a variable or an ini value; raises ValueError with
            what was expected.
        repeat: the option may be given several times, the ini key has one value a line.
        flag: the option takes no value.
    """

    name: str
    help: str
    default: Any
    parse: Callable[[str], Any] = str
    metavar: str = ""
    repeat: bool = False
    flag: bool = False
    marker: str = ""

    @property
    def option(self) -> str:
        """The command line option."""
        return f"--egress-{self.name}"

    @property
    def ini(self) -> str:
        """The ini key."""
        return f"egress_{self.name.replace('-', '_')}"

    @property
    def variable(self) -> str:
        """The environment variable."""
        return f"PYTEST_EGRESS_{self.name.upper().replace('-', '_')}"

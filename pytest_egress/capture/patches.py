"""Attributes of modules and classes replaced for a while, and put back exactly."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = ["Patch", "Patches"]

_ABSENT: Any = object()


class Patch:
    """One attribute to replace.

    Args:
        owner: the module or class.
        name: the attribute.
        replacement: what stands there while the patch is installed.
    """

    __slots__ = ("_before", "name", "owner", "replacement")

    def __init__(self, owner: Any, name: str, replacement: Any) -> None:
        self.owner = owner
        self.name = name
        self.replacement = replacement
        self._before: Any = _ABSENT

    def install(self) -> None:
        """Put the replacement in place."""
        # A class inherits most of its methods: what is not its own is deleted afterwards.
        self._before = vars(self.owner).get(self.name, _ABSENT)
        setattr(self.owner, self.name, self.replacement)

    def remove(self) -> None:
        """Put back what stood there.

        Where somebody has put something else on top since, that stays: it leads to the
        replacement, which passes everything on when nothing is captured.
        """
        if vars(self.owner).get(self.name, _ABSENT) is not self.replacement:
            return
        if self._before is _ABSENT:
            delattr(self.owner, self.name)
        else:
            setattr(self.owner, self.name, self._before)


class Patches:
    """Patches that come and go together."""

    def __init__(self, patches: Iterable[Patch]) -> None:
        self._patches = list(patches)
        self._installed: list[Patch] = []

    def install(self) -> None:
        """Install all of them, or none."""
        try:
            for patch in self._patches:
                patch.install()
                self._installed.append(patch)
        except BaseException:
            self.remove()
            raise

    def remove(self) -> None:
        """Remove those that are installed, the last first. Twice is once."""
        while self._installed:
            self._installed.pop().remove()

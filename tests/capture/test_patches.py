"""Patches come and go without a trace."""

from __future__ import annotations

import pytest

from pytest_egress.capture.patches import Patch, Patches


class Base:
    """A class with a method."""

    def inherited(self) -> str:
        """Says whose it is."""
        return "base"


class Derived(Base):
    """Inherits it, and has one of its own."""

    def own(self) -> str:
        """Says whose it is."""
        return "own"


def test_inherited_and_own_attributes_are_put_back() -> None:
    """A method that a class only inherits is not left on it."""
    before = dict(vars(Derived))
    patches = Patches([Patch(Derived, "inherited", lambda _: "x"), Patch(Derived, "own", None)])
    patches.install()
    assert Derived().inherited() == "x"
    patches.remove()
    patches.remove()
    assert dict(vars(Derived)) == before


def test_what_came_on_top_stays() -> None:
    """Somebody else's patch is not thrown away."""
    patches = Patches([Patch(Derived, "own", lambda _: "ours")])
    theirs = Patch(Derived, "own", lambda _: "theirs")
    own = vars(Derived)["own"]
    patches.install()
    theirs.install()
    patches.remove()
    assert Derived().own() == "theirs"
    setattr(Derived, "own", own)  # noqa: B010 - as a patch does


def test_failed_installation_leaves_nothing() -> None:
    """All or none."""
    before = dict(vars(Derived))
    patches = Patches([Patch(Derived, "own", None), Patch(int, "bit_length", None)])
    with pytest.raises(TypeError):
        patches.install()
    assert dict(vars(Derived)) == before

"""The backends by name, each imported when it is chosen."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_egress.errors import BackendError

if TYPE_CHECKING:
    from pytest_egress.backends.protocol import Backend

__all__ = ["Kind", "create", "kind", "names", "register"]

#: Gives a setting's value by its name, as in the table of docs/settings.md: ``get("timeout")``.
Get = Callable[[str], Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """A backend that can be chosen.

    Attributes:
        name: as in ``--egress-backend``.
        factory: ``module:function``; the function takes `Get` and returns the backend without
            starting anything.
        needs: the top-level modules of its extra.
        extra: the extra that brings them.
        whole: whether it enforces every field of the API: nothing of a contract is refused for
            want of a cluster.
    """

    name: str
    factory: str
    needs: tuple[str, ...] = ()
    extra: str = ""
    whole: bool = field(default=False, kw_only=True)


_KINDS = {kind.name: kind for kind in (Kind("local", "pytest_egress.backends.local:create"),)}


def register(kind: Kind) -> None:
    """Let a backend be chosen by its name, in place of another one of that name."""
    _KINDS[kind.name] = kind


def names() -> tuple[str, ...]:
    """The names of all backends."""
    return tuple(_KINDS)


def kind(name: str) -> Kind:
    """The backend of that name.

    Raises:
        ValueError: there is none; with the nearest spelling.
    """
    if name not in _KINDS:
        import difflib

        close = difflib.get_close_matches(name, _KINDS, n=1, cutoff=0.3)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ValueError(f"expected {' or '.join(_KINDS)}{hint}")
    return _KINDS[name]


def create(name: str, get: Get) -> Backend:
    """Make a backend; nothing of it is started.

    Args:
        name: one of `names`.
        get: gives the settings; paths are those of this process's working directory.

    Raises:
        ValueError: there is none of that name.
        BackendError: a package that it needs is not installed.
    """
    chosen = kind(name)
    missing = [it for it in chosen.needs if importlib.util.find_spec(it) is None]
    if missing:
        raise BackendError(
            f"the backend {name} needs the Python package {' and '.join(missing)}",
            next_step=f"pip install 'pytest-egress[{chosen.extra}]'",
        )
    module, _, function = chosen.factory.partition(":")
    backend: Backend = getattr(importlib.import_module(module), function)(get)
    return backend

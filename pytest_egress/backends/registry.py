"""The backends by name, each imported when it is chosen."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_egress.errors import BackendError

if TYPE_CHECKING:
    from pytest_egress.backends.ownership import Leftover
    from pytest_egress.backends.protocol import Backend

__all__ = ["Kind", "create", "kind", "leftovers", "missing", "names", "register"]

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
        leftovers: ``module:function``; the function takes `Get` and lists what runs have made and
            is still there (`pytest_egress.backends.ownership.Leftover`). It raises BackendError
            where it cannot look.
        whole: whether it enforces every field of the API: nothing of a contract is refused for
            want of a cluster.
    """

    name: str
    factory: str
    needs: tuple[str, ...] = ()
    extra: str = ""
    leftovers: str = field(default="", kw_only=True)
    whole: bool = field(default=False, kw_only=True)


_KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "local",
            "pytest_egress.backends.local:create",
            leftovers="pytest_egress.backends.private:leftovers",
        ),
        Kind(
            "docker",
            "pytest_egress.backends.docker.backend:create",
            needs=("testcontainers",),
            extra="docker",
            leftovers="pytest_egress.backends.docker.leftovers:leftovers",
        ),
        Kind(
            "kind",
            "pytest_egress.backends.kind.backend:create",
            ("kubernetes",),
            "kind",
            leftovers="pytest_egress.backends.kind.backend:leftovers",
            whole=True,
        ),
        Kind(
            "cluster",
            "pytest_egress.backends.cluster.backend:create",
            ("kubernetes",),
            "kind",
            leftovers="pytest_egress.backends.cluster.leftovers:leftovers",
            whole=True,
        ),
    )
}


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
    backend: Backend = _load(chosen, chosen.factory)(get)
    return backend


def leftovers(name: str, get: Get) -> list[Leftover]:
    """What runs have made on a backend and is still there, theirs that go on included.

    Raises:
        ValueError: there is no backend of that name.
        BackendError: a package that it needs is not installed, or it cannot be asked.
    """
    chosen = kind(name)
    return list(_load(chosen, chosen.leftovers)(get)) if chosen.leftovers else []


def missing(chosen: Kind) -> list[str]:
    """The packages that a backend needs and that are not installed."""
    return [it for it in chosen.needs if importlib.util.find_spec(it) is None]


def _load(chosen: Kind, what: str) -> Callable[[Get], Any]:
    """Import a function of a backend.

    Raises:
        BackendError: a package that it needs is not installed.
    """
    lacking = missing(chosen)
    if lacking:
        raise BackendError(
            f"the backend {chosen.name} needs the Python package {' and '.join(lacking)}",
            next_step=f"pip install 'pytest-egress[{chosen.extra}]'",
        )
    module, _, function = what.partition(":")
    found: Callable[[Get], Any] = getattr(importlib.import_module(module), function)
    return found

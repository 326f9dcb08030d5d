"""Probes of a contract file's checks, made at the same time where there are several test pods."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest

from pytest_egress.collection.items import ExpectationItem
from pytest_egress.fixtures import EXPECTATIONS, MUTATION
from pytest_egress.stash import BACKEND

if TYPE_CHECKING:
    from pytest_egress.egress import Egress
    from pytest_egress.outcome import Outcome

__all__ = ["made_ahead"]

_MOST = 64  # checks that are probed beforehand: a run may end with any of them
_EXPECTED = {"egress_reachable", "egress_blocked", "egress_resolves"}
_MADE: pytest.StashKey[dict[str, Outcome]] = pytest.StashKey()


def made_ahead(item: pytest.Function, pod: Egress) -> Outcome | None:
    """The outcome of a check's probe, made together with those of the checks that follow it.

    None where it is to be probed by itself: there is one pod, or others share the work already.
    """
    config = item.config
    if hasattr(config, "workerinput") or MUTATION in config.stash or pod.mesh.pods == 1:
        return None
    if any(it.kind == "resolves" for it in item.stash[EXPECTATIONS]):
        return None
    made = config.stash.setdefault(_MADE, {})
    if item.nodeid not in made:
        made.clear()
        checks = list(islice(_alike(item), _MOST))
        probes = [(it.target, it.options) for _, it in checks]
        outcomes = pod._ask_ahead(probes)  # noqa: SLF001  on behalf of their own pods
        made.update(zip((name for name, _ in checks), outcomes, strict=True))
    return made.pop(item.nodeid, None)


def _alike(item: pytest.Function) -> Iterator[tuple[str, Any]]:
    """A check and those that follow it in its file, of the same workload, mesh and backend."""
    items = item.session.items
    for it in islice(items, items.index(item), None):
        if not isinstance(it, ExpectationItem) or _pod_of(it) != _pod_of(item):
            return
        (expectation,) = it.stash[EXPECTATIONS]
        if expectation.kind != "resolves":
            yield it.nodeid, expectation


def _pod_of(item: pytest.Item) -> object:
    """What a check's pod follows from: its file's fixtures, and the markers."""
    marks = [(it.name, it.args, it.kwargs) for it in item.own_markers if it.name not in _EXPECTED]
    return item.parent, item.stash.get(BACKEND, ""), marks

"""Containers that runs have left: those of dead runs are removed by the next one."""

from __future__ import annotations

import contextlib
from functools import partial

from pytest_egress.backends.docker.engine import Engine
from pytest_egress.backends.ownership import HOST, KEEP, Leftover, Owner, abandoned
from pytest_egress.backends.registry import Get
from pytest_egress.errors import BackendError

__all__ = ["leftovers", "sweep"]


def leftovers(get: Get) -> list[Leftover]:
    """The containers that runs have made and that are there.

    Raises:
        BackendError: no engine answers.
    """
    del get  # the engine is found by the environment
    engine = Engine()
    try:
        return _of(engine)
    finally:
        engine.close()


def sweep(engine: Engine) -> None:
    """Remove the containers of dead runs of this machine, as far as the engine lets us."""
    with contextlib.suppress(BackendError):
        for leftover in abandoned(_of(engine)):
            leftover.remove()


def _of(engine: Engine) -> list[Leftover]:
    return [
        Leftover(
            "container",
            str(container.name),
            Owner.of(container.labels),
            container.labels.get(KEEP) == "true",
            partial(_remove, str(container.id)),
        )
        for container in engine.found({HOST: "", "pytest-egress/role": ""})
    ]


def _remove(name: str) -> None:
    from docker.errors import NotFound

    from pytest_egress.backends.docker.engine import told

    engine = Engine()
    try:
        with told(f"the container {name[:12]} cannot be removed"), contextlib.suppress(NotFound):
            engine.client.containers.get(name).remove(force=True, v=True)
    finally:
        engine.close()

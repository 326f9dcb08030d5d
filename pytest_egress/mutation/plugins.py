"""Which plugins ``--egress-mutate`` takes: those of one process, of a worker or of a controller."""

from __future__ import annotations

import pytest

from pytest_egress.fixtures import MUTATION
from pytest_egress.mutation.running import Alone, Mutation
from pytest_egress.mutation.sharing import Controller, Worker
from pytest_egress.mutation.telling import Telling

__all__ = ["register"]


def register(config: pytest.Config) -> None:
    """Register what this process has to do.

    Raises:
        pytest.UsageError: a kind of change is asked for that there is not.
    """
    if hasattr(config, "workerinput"):
        _tests_run_here(config, Worker(config))
        return
    distributed = config.getoption("dist", "no") != "no" and not config.option.collectonly
    telling = Telling(config, distributed=distributed)
    config.pluginmanager.register(telling, "egress-mutation-telling")
    if distributed:
        config.pluginmanager.register(Controller(config, telling), "egress-mutation")
    else:
        _tests_run_here(config, Alone(config, telling))


def _tests_run_here(config: pytest.Config, mutation: Mutation) -> None:
    config.stash[MUTATION] = mutation
    config.pluginmanager.register(mutation, "egress-mutation")

"""Mutants under pytest-xdist: the workers have the tests, the controller hands mutants out.

When a worker has run its share of the tests it sends what it has learned and waits. The controller
joins that, makes the plan and gives each worker one mutant at a time; any worker can run any test,
since all have collected them all. They speak over a channel of execnet, one for each worker, which
xdist takes to it in ``workerinput``; what arrives is handled in the loop of the controller, behind
the reports of the tests.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from pytest_egress.mutation.learned import Learned, packed, unpacked
from pytest_egress.mutation.plan import FAILING, NO_POD, Plan, plan_of, wanted
from pytest_egress.mutation.running import Mutation, Trials
from pytest_egress.mutation.score import Fate, Score
from pytest_egress.mutation.telling import Telling
from pytest_egress.settings import lookup

__all__ = ["Controller", "Worker"]

_CHANNEL = "egress_mutation_channel"
_EVENT = "egress_mutation"
_GONE = "a worker has ended before its tests had"


class Worker(Mutation):
    """The plugin of a worker."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self._channel = config.workerinput[_CHANNEL]

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Try the mutants that the controller gives, when the tests of this worker have run."""
        result = yield
        with suppress(EOFError, OSError):  # the controller has gone
            self._channel.send((session.testsfailed, packed(self.learned)))
            self._serve(session)
        return result

    def _serve(self, session: pytest.Session) -> None:
        sent = self._channel.receive()
        if sent is None:
            return
        plan: Plan = unpacked(sent)
        self.learned = plan.learned
        trials = Trials(self, session, plan)
        while (index := self._channel.receive()) is not None:
            self._channel.send(trials.fate(index).value)
        trials.end()


@dataclass(slots=True, eq=False)
class _Link:
    """What the controller knows of a worker.

    Attributes:
        ready: its tests have run.
        has_plan: it has been given one.
        at: the mutant that it tries.
        ended: it gets no more.
    """

    channel: Any
    ready: bool = False
    has_plan: bool = False
    at: int | None = None
    ended: bool = False


class Controller:
    """The plugin of the controller, which runs no test itself."""

    def __init__(self, config: pytest.Config, telling: Telling) -> None:
        self._config = config
        self._telling = telling
        self._operators = wanted(config)
        self._limit = lookup(config, "mutate-timeout")[0]
        self._links: dict[str, _Link] = {}
        self._learned = Learned()
        self._failures = 0
        self._plan: Plan | None = None
        self._packed = b""
        self._next = 0
        self._end = 0.0
        self._fates: dict[int, Fate] = {}

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Give a worker the other end of a channel."""
        channel = node.gateway.newchannel()
        node.workerinput[_CHANNEL] = channel
        self._links[node.gateway.id] = _Link(channel)
        # Events of xdist's loop are methods of this plugin of its.
        distributing: Any = self._config.pluginmanager.get_plugin("dsession")
        setattr(distributing, f"worker_{_EVENT}", self._heard)
        # In the thread that receives: the loop is told, and handles it.
        channel.setcallback(partial(_pass_on, node))

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """A worker has ended, or died."""
        link = self._links[node.gateway.id]
        if not link.ready and not self._decided:
            self._telling.why_not = _GONE
        if link.at is not None:
            self._add(link.at, Fate.LOST)
        link.at, link.ended = None, True
        self._go_on()

    @property
    def _decided(self) -> bool:
        return self._plan is not None or bool(self._telling.why_not)

    def _heard(self, worker: str, message: Any) -> None:
        """A worker has run its tests, or tried a mutant."""
        link = self._links[worker]
        if link.ready and link.at is not None:
            at, link.at = link.at, None
            self._add(at, Fate(message))
        else:
            failures, learned = message
            link.ready = True
            if not self._decided:
                self._failures += failures
                self._learned.join(unpacked(learned))
        self._go_on()

    def _go_on(self) -> None:
        if not self._decided and all(it.ready or it.ended for it in self._links.values()):
            self._begin()
        if not self._decided:
            return
        for link in self._links.values():
            if link.ready and link.at is None and not link.ended:
                self._hand(link)
        if self._plan is None or self._telling.score is not None:
            return
        if all(link.ended for link in self._links.values()):
            self._telling.end(Score(self._limit, self._plan.mutants, self._fates))

    def _begin(self) -> None:
        if self._failures:
            self._telling.why_not = FAILING
        elif not self._learned.groups:
            self._telling.why_not = NO_POD
        else:
            self._plan = plan_of(self._learned, self._operators)
            self._packed = packed(self._plan)
            self._telling.begin(len(self._plan.steps))
            self._end = time.monotonic() + self._limit

    def _hand(self, link: _Link) -> None:
        """Give a worker the next mutant, or let it end."""
        over = self._plan is None or time.monotonic() >= self._end
        with suppress(OSError):  # it has died: its end will be told
            if self._plan is None or over or self._next >= len(self._plan.steps):
                link.ended = True
                link.channel.send(None)
                return
            if not link.has_plan:
                link.channel.send(self._packed)
                link.has_plan = True
            link.at = self._next
            self._next += 1
            link.channel.send(link.at)

    def _add(self, index: int, fate: Fate) -> None:
        self._fates[index] = fate
        self._telling.step(fate)


def _pass_on(node: Any, message: Any) -> None:
    node.notify_inproc(_EVENT, worker=node.gateway.id, message=message)

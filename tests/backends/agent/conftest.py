"""Agents that run as local programs."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

import pytest

from pytest_egress.backends.agent import Agent, ProcessStream


class LocalPod:
    """Starts agents in local programs and knows their streams."""

    def __init__(self) -> None:
        self.streams: list[ProcessStream] = []

    def connect(self, command: Sequence[str]) -> ProcessStream:
        """Start a command, in an environment that knows nothing of this checkout."""
        stream = ProcessStream(command, env={"PATH": "/usr/bin:/bin"})
        self.streams.append(stream)
        return stream


@pytest.fixture
def local_pod() -> LocalPod:
    """A pod that is this machine."""
    return LocalPod()


@pytest.fixture
def agent(local_pod: LocalPod) -> Iterator[Agent]:
    """An agent of this interpreter, started on first use."""
    agent = Agent(local_pod.connect, python=sys.executable)
    yield agent
    agent.close()

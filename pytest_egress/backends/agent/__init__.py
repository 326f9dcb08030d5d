"""The test pod's agent: the probe in a container or pod, driven over one stream of JSON lines.

`Agent` is the side that a backend holds; it starts the other side, `inside`, through whatever
duplex byte stream the backend opens to a command in the pod. Nothing is written there: the code
is sent as the first line and lives in the memory of one Python process.
"""

from __future__ import annotations

from pytest_egress.backends.agent.client import Agent, AgentLostError, Probed, Ran
from pytest_egress.backends.agent.stream import ProcessStream, SocketStream, Stream

__all__ = [
    "Agent",
    "AgentLostError",
    "Probed",
    "ProcessStream",
    "Ran",
    "SocketStream",
    "Stream",
]

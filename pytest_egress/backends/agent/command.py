"""A command in the pod's own container, started by the agent."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import IO, TYPE_CHECKING

from pytest_egress.backends.agent.client import Agent, AgentLostError
from pytest_egress.errors import BackendError

if TYPE_CHECKING:
    import socket

    from pytest_egress.backends.files import File

__all__ = ["END", "PROXY_USER", "AgentCommand", "Outputs", "runs_as_proxy"]

END = 10.0  # seconds that a killed command may take to be gone
#: The user that Istio's proxy runs as, and its group.
PROXY_USER = 1337
_NO_PROGRAM = 127  # the exit status that a shell gives where there is no such program

#: Files for standard output and error.
Outputs = tuple[IO[bytes], IO[bytes]]


class AgentCommand:
    """A command in the pod's own container.

    Args:
        agent: starts it there.
        command: program and arguments.
        environment: added to the container's.
        directory: its working directory; None: the container's.
        stdin: what it reads.
        outputs: files for its standard output and error.
        files: in a directory of its own, which it works in.

    Raises:
        BackendError: the pod is gone.
    """

    def __init__(
        self,
        agent: Agent,
        command: Sequence[str],
        environment: Mapping[str, str],
        directory: str | None,
        stdin: IO[bytes],
        outputs: Outputs,
        *,
        files: Sequence[File] = (),
    ) -> None:
        from pytest_egress.backends.agent.inside.wire import pack
        from pytest_egress.backends.files import archive

        self._agent = agent
        self._outputs = outputs
        self._connection = agent.connection
        self._number, self._answer = self._connection.begin(
            {
                "argv": list(command),
                "env": dict(environment),
                "cwd": directory,
                "input": pack(stdin.read()),
                "timeout": None,
                **({"files": pack(archive(files))} if files else {}),
            },
            self._write,
        )

    def wait(self, timeout: float | None = None) -> int | None:
        """The exit status; None when time is up, or when the pod is gone."""
        try:
            answer = self._answer.result(timeout)
        except (FutureTimeoutError, CancelledError, AgentLostError):
            return None
        if "error" in answer:
            self._write(2, f"{answer['error']['message']}\n".encode())
            return _NO_PROGRAM
        return int(answer["result"]["returncode"])

    def ended(self) -> bool:
        """Whether it has ended, or the pod has gone."""
        return self._answer.done()

    def connect(self, port: int, timeout: float) -> socket.socket:
        """Open a connection to a port of the pod's loopback."""
        try:
            return self._agent.dial("127.0.0.1", port, timeout)[0]
        except AgentLostError as error:
            raise ConnectionRefusedError(str(error)) from None

    def kill(self) -> None:
        """Kill the command and all that it has started."""
        with contextlib.suppress(AgentLostError):
            self._connection.send({"op": "cancel", "of": self._number})

    def close(self) -> None:
        """Kill it if it still runs. Twice is once."""
        if not self.ended():
            self.kill()
            self.wait(END)

    def _write(self, descriptor: int, data: bytes) -> None:
        with contextlib.suppress(ValueError):  # closed: nobody is interested any more
            self._outputs[descriptor - 1].write(data)
            self._outputs[descriptor - 1].flush()


def runs_as_proxy(image: str) -> BackendError:
    """What is told of an image whose connections would be taken for the proxy's own."""
    return BackendError(
        f"the image {image} runs as user {PROXY_USER}, whose connections are the proxy's own: "
        "they would not be captured, as in a mesh"
    )

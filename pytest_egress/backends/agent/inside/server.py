"""The agent itself: reads requests from one stream and answers each as it is done.

It ends when its input ends, or when nothing has come for a minute: whoever drives it asks for a
sign of life every few seconds. With it end the commands it runs.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pytest_egress.backends.agent.inside.commands import Commands
from pytest_egress.backends.agent.inside.files import Files
from pytest_egress.backends.agent.inside.holding import Holding
from pytest_egress.backends.agent.inside.listening import Listening
from pytest_egress.backends.agent.inside.names import Names
from pytest_egress.backends.agent.inside.network import Network
from pytest_egress.backends.agent.inside.ports import SourcePorts
from pytest_egress.backends.agent.inside.probing import Probing
from pytest_egress.backends.agent.inside.wire import PROTOCOL, Lines, decode, encode

__all__ = ["Server", "main"]

_CHUNK = 65536
_WORKERS = 128  # requests under way at the same time; the others wait their turn
_SILENCE = 60.0  # seconds after which nobody is taken to be there

Operation = Callable[[dict[str, Any]], dict[str, Any]]


class Server:
    """Serves one stream.

    Args:
        reads: file descriptor of what comes.
        writes: file descriptor of what goes.
    """

    def __init__(self, reads: int, writes: int) -> None:
        self._reads = reads
        self._writes = writes
        self._lock = threading.Lock()
        self._workers = ThreadPoolExecutor(_WORKERS, "agent")
        ports = SourcePorts()
        self._commands = Commands(self.send)
        self._listening = Listening(self.send, ports)
        self._names = Names(self.send)
        files, probing = Files(), Probing(ports)
        network = Network()
        self._holding = Holding()
        self._operations: dict[str, Operation] = {
            "ping": lambda _: {},
            "probe": probing.probe,
            "lookup": probing.lookup,
            "exec": self._commands.run,
            "file": files.add,
            "listen": self._listening.listen,
            "dial": self._listening.dial,
            "names": self._names.serve,
            "capture": network.capture,
            "turn_away": network.turn_away,
            "hold": self._holding.hold,
            "held": self._holding.held,
            "put": self._holding.put,
            "write": self._holding.write,
            "release": self._holding.release,
            "kill": self._holding.kill,
        }

    def run(self) -> None:
        """Serve until the stream ends or falls silent."""
        self.send(
            {
                "hello": PROTOCOL,
                "pid": os.getpid(),
                "python": ".".join(map(str, sys.version_info[:3])),
            }
        )
        lines = Lines()
        try:
            while self._awaited():
                data = os.read(self._reads, _CHUNK)
                if not data:
                    return
                for line in lines.feed(data):
                    self._take(decode(line))
        finally:
            self._commands.kill()
            self._holding.close()

    def send(self, message: dict[str, Any]) -> None:
        """Send one message; it is lost when nobody listens any more."""
        view = memoryview(encode(message))
        with self._lock:
            try:
                while view:
                    view = view[os.write(self._writes, view) :]
            except OSError:
                return

    def _awaited(self) -> bool:
        import select

        return bool(select.select([self._reads], [], [], _SILENCE)[0])

    def _take(self, message: dict[str, Any]) -> None:
        if message.get("op") == "ping":  # told at once, however much else is under way
            self.send({"id": message.get("id"), "result": {}})
        elif "t" in message:
            self._listening.tunnels.take(message)
        elif "q" in message:
            self._names.answered(message)
        elif message.get("op") == "cancel":
            self._commands.cancel(message.get("of"))
        else:
            self._workers.submit(self._answer, message)

    def _answer(self, message: dict[str, Any]) -> None:
        answer: dict[str, Any] = {"id": message.get("id")}
        try:
            operation = self._operations.get(str(message.get("op")))
            if operation is None:
                raise ValueError(f"unknown operation {message.get('op')!r}")  # noqa: TRY301  told as others
            answer["result"] = operation(message)
        except Exception as error:  # noqa: BLE001  it is the other side's to judge
            answer["error"] = {"type": type(error).__name__, "message": str(error)}
        self.send(answer)


def main() -> None:
    """Serve standard input and output, and end the process.

    What anything else writes to standard output goes to standard error.
    """
    writes = os.dup(1)
    os.dup2(2, 1)
    try:
        Server(0, writes).run()
    finally:
        sys.stderr.flush()
        os._exit(0)  # threads that still wait for the network are not waited for

"""Commands in containers of the user's images, added to the test pod."""

from __future__ import annotations

import contextlib
import itertools
import secrets
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import IO, TYPE_CHECKING, Any

from pytest_egress.backends.agent.command import END, PROXY_USER, Outputs, runs_as_proxy
from pytest_egress.backends.agent.connection import AgentLostError
from pytest_egress.backends.agent.inside.wire import pack
from pytest_egress.backends.cluster.ephemeral import failed, state, stuck
from pytest_egress.backends.cluster.progress import until
from pytest_egress.backends.files import File, archive
from pytest_egress.errors import BackendError, ProbeError

if TYPE_CHECKING:
    import socket

    from pytest_egress.backends.cluster.exec_stream import AttachStream
    from pytest_egress.backends.cluster.testpod import TestPod

__all__ = ["AddedCommand", "Marks"]

_ASK = 60.0  # seconds that the agent may take for an answer
_LOOK = 0.2  # seconds between two looks at the container's state
_MARK_TIMEOUT = 1.0  # seconds that a mark may take until another one is tried
_UNSEEN = 5.0  # seconds that a container may run without having been seen
_OF_THE_IMAGE = (
    "on a cluster files are put into a container whose program has been loaded: start a program "
    "that you give by one of the image's, such as sh"
)


class Marks:
    """Tells when what a container writes is received, by marks written in its place.

    A cluster says that it is attached before it is. Until the last mark has come nothing is the
    container's own: it is held.
    """

    def __init__(self) -> None:
        self._wanted = b""
        self._pending = {1: b"", 2: b""}
        self._seen = {1: threading.Event(), 2: threading.Event()}

    def next(self) -> bytes:
        """Another mark, to be written to standard output and to standard error."""
        self._wanted = f"pytest-egress {secrets.token_hex(8)}\n".encode()
        for seen in self._seen.values():
            seen.clear()
        return self._wanted

    def wait(self, timeout: float) -> bool:
        """Whether the last mark has come on both within ``timeout`` seconds each."""
        return all(seen.wait(timeout) for seen in self._seen.values())

    def feed(self, descriptor: int, data: bytes) -> bytes:
        """What of ``data`` is the container's own."""
        if self._seen[descriptor].is_set():
            return data
        pending = self._pending[descriptor] + data
        _, found, rest = pending.partition(self._wanted)
        self._pending[descriptor] = b"" if found else pending
        if found:
            self._seen[descriptor].set()
        return rest


class AddedCommand:
    """A container of the user's image as a part of the test pod; it is there when this returns.

    It is held at its first instruction until its outputs are attached to: Kubernetes' log does not
    tell them apart, and what is written before is not attached to.

    Args:
        pod: what it becomes a part of.
        image: what it is made from.
        command: arguments of the image's program; none: the image's own.
        environment: added to the image's.
        directory: its working directory; None: the image's.
        stdin: what it reads.
        outputs: files for its standard output and error.
        files: put into it while it is held.

    Raises:
        BackendError: the image is not there, runs as the proxy's user, or the cluster refuses.
    """

    def __init__(
        self,
        pod: TestPod,
        image: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        directory: str | None,
        stdin: IO[bytes],
        outputs: Outputs,
        *,
        files: Sequence[File],
    ) -> None:
        self._pod = pod
        self._keeper = pod.keeper
        self._keeper.images.bring(image)
        self._connection = self._keeper.connection
        self._outputs = outputs
        self._image = image
        self._name = f"run-{secrets.token_hex(4)}"
        self._status: Future[int] = Future()
        self._closed = False
        self._watched = False
        self._held = False
        self._streams: list[AttachStream] = []
        self._threads: list[threading.Thread] = []
        data = stdin.read()
        self._hold = int(self._ask("hold")["hold"])
        try:
            self._add(command, environment, directory, feed=bool(data), given=bool(files))
            self._prepare(files)
            self._attach()
            self._ask("release")
        except BaseException:
            self._abandon()
            raise
        self._watched = True
        self._begin(self._watch)
        if data:
            self._begin(self._feed, data)

    def wait(self, timeout: float | None = None) -> int | None:
        """The exit status; None when time is up, or when the cluster does not tell it."""
        try:
            return self._status.result(timeout)
        except (FutureTimeoutError, BackendError):
            return None

    def ended(self) -> bool:
        """Whether it has ended, or nobody knows any more."""
        return self._status.done()

    def connect(self, port: int, timeout: float) -> socket.socket:
        """Open a connection to a port of the pod's loopback."""
        return self._pod.agent.dial("127.0.0.1", port, timeout)[0]

    def kill(self) -> None:
        """Kill it, with all that it has started."""
        with contextlib.suppress(AgentLostError, ProbeError):
            self._ask("kill")

    def close(self) -> None:
        """Kill it if it still runs. Twice is once."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(AgentLostError, ProbeError):
            self._ask("kill", forget=True)
        if self._watched:
            self.wait(END)
        for stream in self._streams:
            stream.close()
        for thread in self._threads:
            thread.join(END)
        for stream in self._streams:
            stream.release()

    # -- how it starts ----------------------------------------------------------------------------

    def _ask(self, operation: str, **request: Any) -> dict[str, Any]:
        if operation != "hold":
            request["of"] = self._hold
        return self._connection.ask({"op": operation, **request}, _ASK)

    def _add(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        directory: str | None,
        *,
        feed: bool,
        given: bool,
    ) -> None:
        """Add the container and return once it is held and runs.

        Raises:
            BackendError: it does not start.
        """
        images = self._keeper.images
        request = {"op": "held", "of": self._hold, "timeout": images.timeout + _ASK}
        held = self._connection.request(request)
        container: dict[str, Any] = {
            "name": self._name,
            "image": self._image,
            "env": [{"name": key, "value": _plain(it)} for key, it in environment.items()],
            "stdin": feed,
            "stdinOnce": feed,
        }
        if command:
            container["args"] = [_plain(it) for it in command]
        if directory is not None:
            container["workingDir"] = directory
        self._keeper.add(container, f"add a container of {self._image} to the test pod")
        unseen = itertools.count(1)

        def missing() -> str:
            told = state(self._keeper.read(), self._name)
            failure = stuck(told)
            if failure:
                raise BackendError(
                    f"the container of {self._image} cannot be started",
                    self._why(failure),
                    _OF_THE_IMAGE if given else "",
                )
            if held.done() and self._may_run(held.result()):
                return "" if "running" in told else "it does not run yet"
            runs = "running" in told
            if "terminated" in told or (runs and next(unseen) * _LOOK > _UNSEEN):
                raise _not_held(self._image, "its first process was not seen")
            return str(told.get("waiting", {}).get("reason") or "it has just been added")

        what = f"waiting for a container of {self._image}"
        failure = until(missing, images.timeout, what, images.say, interval=_LOOK)
        if failure:
            raise BackendError(
                f"the container of {self._image} has not started after {images.timeout:g} s",
                self._why(failure),
                "--egress-cluster-timeout gives it more time",
            )

    def _may_run(self, message: Mapping[str, Any]) -> bool:
        """Whether the container is held; not where it has ended, and the cluster will say why.

        Raises:
            BackendError: it may not run, or cannot be held.
        """
        if "error" in message:
            if message["error"]["type"] != "ProcessLookupError":
                raise _not_held(self._image, str(message["error"]["message"]))
            return False
        self._held = True
        if PROXY_USER in {message["result"]["uid"], message["result"]["gid"]}:
            raise runs_as_proxy(self._image)
        return True

    def _why(self, failure: str) -> str:
        from pytest_egress.backends.cluster.diagnosis import read_events

        field = f"spec.ephemeralContainers{{{self._name}}}"
        events = read_events(self._keeper.api, self._keeper.namespace, self._keeper.pod, field)
        return "\n".join(filter(None, (failure, events)))

    def _prepare(self, files: Sequence[File]) -> None:
        """Put files into the container that is held.

        Raises:
            BackendError: they cannot be.
        """
        if files:
            try:
                self._ask("put", data=pack(archive(files)))
            except ProbeError as error:
                raise BackendError(
                    f"files cannot be put into the container of {self._image}",
                    str(error),
                    _OF_THE_IMAGE,
                ) from None

    def _attach(self) -> None:
        """Return once what the container writes is received.

        Raises:
            BackendError: it is not.
        """
        keeper = self._keeper
        marks = Marks()
        stream = keeper.api.attach(keeper.namespace, keeper.pod, self._name)
        self._streams.append(stream)
        self._begin(self._read, stream, marks)

        def missing() -> str:
            mark = marks.next()
            for descriptor in (1, 2):
                self._ask("write", fd=descriptor, data=pack(mark))
            return "" if marks.wait(_MARK_TIMEOUT) else "what it writes does not come"

        what = f"attaching to the container of {self._image}"
        try:
            failure = until(missing, keeper.images.timeout, what, keeper.images.say)
        except ProbeError as error:
            failure = str(error)
        if failure:
            raise BackendError(f"the container of {self._image} cannot be attached to", failure)

    def _abandon(self) -> None:
        """End what has not become a command; a container that may still come takes the pod along.

        Kubernetes would start it whenever its image is there, between other calls.
        """
        self.close()
        if self._held:
            return  # it has been killed
        with contextlib.suppress(BackendError):
            told = state(self._keeper.read(), self._name)
            if "terminated" not in told and not failed(told):
                self._pod.discard()

    # -- how it goes on ---------------------------------------------------------------------------

    def _begin(self, target: Any, *arguments: Any) -> None:
        thread = threading.Thread(
            target=target, args=arguments, name="egress-container", daemon=True
        )
        self._threads.append(thread)
        thread.start()

    def _read(self, stream: AttachStream, marks: Marks) -> None:
        try:
            for descriptor, data in stream.parts():
                own = marks.feed(descriptor, data)
                if own:
                    self._outputs[descriptor - 1].write(own)
                    self._outputs[descriptor - 1].flush()
        except ValueError:  # closed: nobody is interested any more
            return
        except OSError as error:
            if not self._closed:
                self._lose(f"what it writes is no longer received: {error}")

    def _feed(self, data: bytes) -> None:
        """Be the container's input, whether or not it reads all of it."""
        keeper = self._keeper
        try:
            stream = keeper.api.attach(keeper.namespace, keeper.pod, self._name, feed=True)
            self._streams.append(stream)
            stream.write(data)
            stream.end_input()
        except (BackendError, OSError):
            return  # it has ended

    def _watch(self) -> None:
        """Follow the container to its end."""
        wait = threading.Event()
        while not self._status.done():
            try:
                told = state(self._keeper.read(), self._name)
            except BackendError as error:
                self._lose(f"the cluster does not tell how it ended: {error}")
                return
            ended = told.get("terminated")
            if ended is not None:
                self._threads[0].join(END)  # what it has written is read to the end
                if self._connection.lost and not self._closed:
                    self._lose("the agent that watched over it was lost, and has killed it")
                with contextlib.suppress(InvalidStateError):
                    self._status.set_result(int(ended.get("exitCode", 0)))
                return
            wait.wait(_LOOK)

    def _lose(self, why: str) -> None:
        with contextlib.suppress(InvalidStateError):  # it is told already
            self._status.set_exception(BackendError(f"the container of {self._image}: {why}"))


def _plain(text: str) -> str:
    """A text that Kubernetes takes as it is: it would put variables in the place of ``$(NAME)``."""
    return text.replace("$", "$$")


def _not_held(image: str, why: str) -> BackendError:
    return BackendError(
        f"the container of {image} cannot be held at its start",
        why,
        "the nodes' container runtime must share process namespaces between containers "
        "(targetContainerName) and let them trace (SYS_PTRACE)",
    )

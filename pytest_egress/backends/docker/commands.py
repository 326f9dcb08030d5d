"""Commands in containers of the user's images, beside the pod's own."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import IO, TYPE_CHECKING, Any

from pytest_egress.backends.agent.command import END, PROXY_USER, Outputs, runs_as_proxy
from pytest_egress.backends.docker.engine import told
from pytest_egress.backends.docker.pod import DockerPod
from pytest_egress.backends.docker.stream import AttachedStream
from pytest_egress.backends.files import CA_PATH, File
from pytest_egress.errors import BackendError

if TYPE_CHECKING:
    import socket

__all__ = ["ContainerCommand"]


class ContainerCommand:
    """A container of the user's image that shares the pod's network and its end.

    Args:
        pod: what it becomes a part of.
        image: what it is made from.
        command: program and arguments; none: the image's own.
        environment: added to the image's.
        directory: its working directory; None: the image's.
        stdin: what it reads.
        outputs: files for its standard output and error.
        files: copied into it before it starts.

    Raises:
        BackendError: the image is not there, runs as the proxy's user, or the engine refuses.
    """

    def __init__(
        self,
        pod: DockerPod,
        image: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        directory: str | None,
        stdin: IO[bytes],
        outputs: Outputs,
        *,
        files: Sequence[File] = (),
    ) -> None:
        self._pod = pod
        self._engine = engine = pod.engine
        engine.need(image, "the image of egress.pod.run")
        self._refuse_user(image)
        self._outputs = outputs
        self._status: Future[int] = Future()
        self._closed = False
        self._container = engine.create(
            image,
            list(command),
            "command",
            remove=False,
            environment=dict(environment),
            working_dir=directory,
            stdin_open=True,
            **pod.shared,
        )
        self._threads: list[threading.Thread] = []
        self._stream: AttachedStream | None = None
        try:
            authority = () if pod.live else (File(CA_PATH, pod.ca),)
            if authority or files:
                engine.put(self._container, (*authority, *files))
            self._start(stdin.read())
        except BaseException:
            self.close()
            raise

    def wait(self, timeout: float | None = None) -> int | None:
        """The exit status; None when time is up, or when the engine does not tell it."""
        try:
            return self._status.result(timeout)
        except (FutureTimeoutError, BackendError):
            return None

    def ended(self) -> bool:
        """Whether it has ended."""
        return self._status.done()

    def connect(self, port: int, timeout: float) -> socket.socket:
        """Open a connection to a port of the pod's loopback."""
        return self._pod.agent.dial("127.0.0.1", port, timeout)[0]

    def kill(self) -> None:
        """Kill it."""
        with contextlib.suppress(BackendError), told("the container cannot be killed"):
            self._container.kill()

    def close(self) -> None:
        """Remove the container. Twice is once."""
        if self._closed:
            return
        self._closed = True
        self._engine.remove(self._container)
        if self._stream is not None:
            self._stream.close()
        for thread in self._threads:
            thread.join(END)
        if self._stream is not None:
            self._stream.release()

    def _start(self, data: bytes) -> None:
        with told("the container cannot be started"):
            params: dict[str, Any] = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
            attached = self._engine.client.api.attach_socket(self._container.id, params)
            self._stream = AttachedStream(attached)
            self._container.start()
        for target in (self._read, self._watch):
            thread = threading.Thread(target=target, name="egress-container", daemon=True)
            self._threads.append(thread)
            thread.start()
        with contextlib.suppress(OSError):  # it may have ended already
            self._stream.write(data)
        self._stream.end_input()

    def _read(self) -> None:
        assert self._stream is not None
        with contextlib.suppress(OSError, ValueError):
            for descriptor, data in self._stream.parts():
                self._outputs[descriptor - 1].write(data)
                self._outputs[descriptor - 1].flush()

    def _watch(self) -> None:
        try:
            with told("the container engine does not tell how the container ended"):
                status = int(self._container.wait()["StatusCode"])
        except BackendError as error:
            self._status.set_exception(error)
            return
        self._threads[0].join(END)  # what it has written is read to the end
        self._status.set_result(status)

    def _refuse_user(self, image: str) -> None:
        """Refuse an image whose connections would be taken for the proxy's own."""
        with told(f"the container engine does not tell the user of the image {image}"):
            user = str(self._engine.client.images.get(image).attrs["Config"].get("User") or "")
        if user.partition(":")[0] == str(PROXY_USER):
            raise runs_as_proxy(image)

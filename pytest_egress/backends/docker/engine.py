"""The container engine: found as testcontainers finds it, its errors told as ours."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pytest_egress.backends.files import File, archive
from pytest_egress.backends.ownership import labels
from pytest_egress.errors import BackendError

if TYPE_CHECKING:
    from docker.client import DockerClient
    from docker.models.containers import Container

__all__ = ["Engine", "told"]

_TIMEOUT = 60  # seconds that the engine may take for one answer
_CONFLICT = 409
_REMOVAL = 15  # seconds
_DEFAULT = "unix:///var/run/docker.sock"
_UNIX = "unix://"
_START = "start it (systemctl start docker), or say where it is by DOCKER_HOST"


@contextlib.contextmanager
def told(doing: str, next_step: str = "") -> Iterator[None]:
    """Have the engine's own errors told as a `BackendError` about what was being done."""
    import requests
    from docker.errors import DockerException, ImageNotFound

    try:
        yield
    except ImageNotFound as error:
        raise BackendError(doing, str(error.explanation or error), next_step) from None
    except (DockerException, requests.RequestException, OSError) as error:
        words = getattr(error, "explanation", None) or str(error)
        raise BackendError(doing, str(words), next_step) from None


def _knock(host: str) -> None:
    """See whether anybody listens; the SDK would leave its socket open where nobody does.

    Raises:
        OSError: nobody does.
    """
    if host.startswith(_UNIX):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(_TIMEOUT)
            sock.connect(host.removeprefix(_UNIX))


class Engine:
    """One container engine.

    Args:
        keep: containers stay when they have ended.
    """

    def __init__(self, *, keep: bool = False) -> None:
        self.keep = keep
        self._lock = threading.Lock()
        self._client: DockerClient | None = None

    @property
    def client(self) -> DockerClient:
        """The engine, connected on first use.

        Raises:
            BackendError: none answers.
        """
        with self._lock:
            if self._client is None:
                from testcontainers.core.docker_client import DockerClient as Found
                from testcontainers.core.docker_client import get_docker_host

                with told("no container engine answers", _START):
                    _knock(get_docker_host() or _DEFAULT)
                    client: DockerClient = Found(timeout=_TIMEOUT).client
                    try:
                        client.ping()
                    except BaseException:
                        client.close()
                        raise
                self._client = client
            return self._client

    def need(self, image: str, setting: str) -> None:
        """Have an image: pull it where the engine does not have it.

        Args:
            image: its name.
            setting: the option that chooses another one.

        Raises:
            BackendError: it is not there and cannot be pulled.
        """
        from docker.errors import ImageNotFound

        client = self.client
        with told(f"the container engine does not say whether it has the image {image}"):
            try:
                client.images.get(image)
            except ImageNotFound:
                pass
            else:
                return
        step = f"docker pull {image}, or name an image that is there by {setting}"
        with told(f"the image {image} is not there and cannot be pulled", step):
            client.images.pull(image)

    def create(
        self, image: str, command: list[str], role: str, *, remove: bool = True, **options: Any
    ) -> Container:
        """Make a container with our labels; it is removed when it has ended, unless it is kept.

        Args:
            image: what it is made from.
            command: program and arguments; none: the image's own.
            role: what it is in the pod.
            remove: False: it stays until `remove`, for its exit status.
            options: of the Docker SDK's ``create``.

        Raises:
            BackendError: the engine refuses.
        """
        from testcontainers.core.labels import create_labels

        # With the labels of testcontainers its reaper, where one runs, takes it as well.
        own = create_labels(image, {**labels(keep=self.keep), "pytest-egress/role": role})
        with told(f"the container engine refuses a container of {image} ({role})"):
            container: Container = self.client.containers.create(
                image, command, labels=own, auto_remove=remove and not self.keep, **options
            )
        return container

    def put(self, container: Container, files: tuple[File, ...]) -> None:
        """Copy files into a container, running or not.

        Raises:
            BackendError: the engine refuses.
        """
        with told("files cannot be copied into a container"):
            container.put_archive("/", archive(files))

    def remove(self, container: Container) -> None:
        """End a container and remove it, unless it is kept. Twice is once."""
        from docker.errors import APIError, DockerException

        with contextlib.suppress(DockerException, OSError):
            if self.keep:
                container.kill()
                return
            try:
                container.remove(force=True, v=True)
            except APIError as error:
                if error.status_code != _CONFLICT:
                    raise
                # It has ended by itself, and the engine is about to remove it.
                container.wait(condition="removed", timeout=_REMOVAL)

    def found(self, wanted: Mapping[str, str]) -> list[Container]:
        """The containers that have all these labels; an empty value stands for any.

        Raises:
            BackendError: the engine does not answer.
        """
        filters = [f"{name}={value}" if value else name for name, value in wanted.items()]
        client = self.client
        with told("the container engine does not list its containers"):
            found: list[Container] = client.containers.list(
                all=True, ignore_removed=True, filters={"label": filters}
            )
        return found

    def close(self) -> None:
        """Close the connection to the engine. Twice is once."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

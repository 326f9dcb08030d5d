"""The pod's proxy: an Envoy container in the pod's namespaces, seen by its witness."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pytest_egress.backends.agent.command import PROXY_USER
from pytest_egress.backends.docker.engine import told
from pytest_egress.backends.docker.pod import (
    LIVE_CONTROL,
    PROXY_NAMES,
    DockerPod,
)
from pytest_egress.backends.docker.stream import AttachedStream, Tail
from pytest_egress.backends.files import File
from pytest_egress.backends.trust_store import os_bundle
from pytest_egress.backends.witness import Witness
from pytest_egress.envoy import Program
from pytest_egress.envoy.embed import Places, Sockets, embed
from pytest_egress.envoy.instruments import CONTROL_CLUSTER, CONTROL_IN_POD
from pytest_egress.envoy.secrets import Identity, Secrets
from pytest_egress.errors import BackendError
from pytest_egress.evidence import Evidence
from pytest_egress.probe import Attempt, Options, Target
from pytest_egress.upstream import Outside

if TYPE_CHECKING:
    from docker.models.containers import Container

__all__ = ["ADMIN", "DockerProxy", "Role", "TrueAddresses"]

#: The pod's own, or one that its connections are led through.
Role = Literal["proxy", "gateway"]

_CONFIG = "/etc/pytest-egress/envoy.json"
ADMIN = ("127.0.0.1", 15000)  # as in Istio's pods
_RECORD_TIMEOUT = 5.0  # seconds
_CONTROLS = 2  # the first opens the connection to the witness, meanwhile its record may be lost
_LOOK = 0.5  # seconds between two looks at whether the container has ended


class TrueAddresses:
    """The simulated outside as a pod sees it: everything is at its own address."""

    proxy_dns = PROXY_NAMES

    def port_for(self, port: int) -> int:
        """The port itself."""
        return port

    def locate(self, address: str, port: int, *, dedicated: bool = False) -> tuple[str, int]:
        """The address and port themselves."""
        del dedicated
        return address, port

    def original_port(self, override: int = 0) -> int:
        """The port that is dialled in place of the original one."""
        return override


class DockerProxy:
    """An Envoy that runs ``program`` in a pod.

    Args:
        program: what istiod would push.
        pod: whose namespaces it shares.
        image: has Envoy.
        directory: of this proxy, on this machine; removed with it.
        outside: signs the positive control.
        live: the real outside is asked.
        pod_root: the directory that stands for the root of the pod.
        identity: its certificate of the mesh, for links with proxies of ours.
        role: with the pod's own, the pod ends.

    Attributes:
        control: where the positive control is sent.
    """

    control = CONTROL_IN_POD

    def __init__(
        self,
        program: Program,
        pod: DockerPod,
        image: str,
        directory: Path,
        outside: Outside,
        *,
        live: bool,
        pod_root: str = "/",
        identity: Identity | None = None,
        role: Role = "proxy",
    ) -> None:
        self.program = program
        self.directory = directory
        self.pod = pod
        #: Empty once the positive control has passed through, else why it has not.
        self.control_failure = "no positive control has passed through this proxy"
        self._image = image
        self._outside = outside
        self._live = live
        self._pod_root = pod_root
        self._identity = identity
        self._role = role
        self._container: Container | None = None
        self._output: Tail | None = None
        self.witness = Witness(directory / "witness.sock")
        self._reports = pod.carry(self.witness.path)

    def bootstrap(self, gateways: Mapping[tuple[str, int], Path] | None = None) -> dict[str, Any]:
        """The bootstrap; ``gateways`` tells where pods of gateways really listen."""
        live = self._live
        secrets = Secrets(
            lambda: os_bundle(self._pod_root) if live else str(self._outside.ca_file),
            self._pod_root,
            simulated=not live,
            identity=self._identity,
        )
        sockets = replace(self._sockets(), gateways=gateways or {})
        return embed(self.program, sockets, None if live else self._places(), secrets)

    def configure(
        self, timeout: float, gateways: Mapping[tuple[str, int], Path] | None = None
    ) -> None:
        """Start Envoy with its bootstrap.

        Raises:
            BackendError: the engine refuses.
        """
        del timeout  # the engine has its own
        engine = self.pod.engine
        bootstrap = self.bootstrap(gateways)
        self._container = engine.create(
            self._image,
            [
                "--config-path",
                _CONFIG,
                "--disable-hot-restart",
                "--concurrency",
                "1",
                "--log-level",
                "error",
            ],
            self._role,
            entrypoint=["envoy"],
            user=f"{PROXY_USER}:{PROXY_USER}",
            **self.pod.shared,
        )
        config = json.dumps(bootstrap, separators=(",", ":")).encode()
        files = {path: Path(path).read_bytes() for path in _files(bootstrap)}
        engine.put(
            self._container,
            (
                File(_CONFIG, config, PROXY_USER, 0o600),
                *(File(path, data, PROXY_USER, 0o600) for path, data in files.items()),
            ),
        )
        step = "the image needs a program envoy: name another by --egress-envoy-image"
        with told(f"Envoy ({self._image}) does not start", step):
            attached = engine.client.api.attach_socket(
                self._container.id, {"stdout": 1, "stderr": 1, "stream": 1}
            )
            self._output = Tail(AttachedStream(attached))
            self._container.start()

    def wait(self, timeout: float) -> None:
        """Return once the positive control has passed through.

        Raises:
            BackendError: Envoy has ended, does not serve, or the control does not come through.
        """
        deadline = time.monotonic() + timeout
        looked = time.monotonic()
        failures = 0
        while True:
            self.control_failure = self._control()
            if not self.control_failure:
                return
            failures += not self.control_failure.startswith("the positive control")
            now = time.monotonic()
            if now - looked > _LOOK or now > deadline:
                looked = now
                self._must_live()
            if now > deadline or failures >= _CONTROLS:
                raise BackendError(
                    f"Envoy ({self._image}) does not serve within {timeout:g} seconds: "
                    f"{self.control_failure}",
                    self.output(),
                )
            time.sleep(0.005)

    def records(self, source: str) -> tuple[Evidence, ...]:
        """What the proxy says of the connection from ``source``, once it is complete."""
        return self.witness.wait(source, _RECORD_TIMEOUT)

    def settle(self) -> str:
        """Return once the records of all that has happened so far are here; empty, or why not."""
        return self._control() or (
            "" if self.witness.settle() else "the proxy's records cannot be received"
        )

    def running(self) -> bool:
        """Whether pod and proxy are there, as far as it is known without asking."""
        return self.pod.running() and self._output is not None and not self._output.ended()

    def output(self) -> str:
        """The tail of what Envoy wrote."""
        return "" if self._output is None else self._output.text()

    def close(self) -> None:
        """End the proxy, and the pod whose own it is. Twice is once."""
        if self._container is not None:
            self.pod.engine.remove(self._container)
            self._container = None
        if self._role == "proxy":
            self.pod.close()
        if self._output is not None:
            self._output.close()
        self.witness.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _control(self) -> str:
        """Pass the positive control through the proxy; empty, or what went wrong."""
        target = Target("tcp", *self.control, "")
        options = Options(address=self.control[0], timeout=5.0)
        try:
            attempt, source = self._attempt(target, options)
        except BackendError as error:
            return f"the test pod is gone: {error.tried}"
        signature = f"EGRESS-UPSTREAM {self._outside.sign(attempt.nonce)}\r\n".encode()
        if signature not in attempt.received:
            seen = attempt.failure.message if attempt.failure else repr(attempt.received)
            return f"the positive control did not come back through it: {seen}"
        records = self.records(source)
        if not any(record.cluster == CONTROL_CLUSTER for record in records):
            return "its record of the positive control did not arrive"
        return ""

    def _attempt(self, target: Target, options: Options) -> tuple[Attempt, str]:
        """Attempt the control; returns the attempt and its source."""
        probed = self.pod.agent.probe(target, options)
        return probed.attempt, probed.source

    def _sockets(self) -> Sockets:
        """Where Envoy is spoken to."""
        return Sockets(
            listeners={},
            admin=ADMIN,
            witness=self._reports,
            control=LIVE_CONTROL if self._live else CONTROL_IN_POD,
            in_pod=True,
        )

    def _places(self) -> Places:
        """Where the simulated outside is, for Envoy."""
        return TrueAddresses()

    def _must_live(self) -> None:
        """Return while the container runs.

        Raises:
            BackendError: it has ended; with Envoy's own words.
        """
        from docker.errors import NotFound

        assert self._container is not None
        with told("the container engine does not tell whether Envoy runs"):
            try:
                self._container.reload()
                status = self._container.status
            except NotFound:
                status = "removed"
        if status != "running":
            raise BackendError(
                f"Envoy ({self._image}) ended while it read the configuration", self.output()
            )


def _files(value: Any) -> Iterator[str]:
    """The files that a configuration names, each once."""
    found: dict[str, None] = {}

    def walk(item: Any) -> None:
        if isinstance(item, dict):
            name = item.get("filename")
            if isinstance(name, str):
                found[name] = None
            for inner in item.values():
                walk(inner)
        elif isinstance(item, list):
            for inner in item:
                walk(inner)

    walk(value)
    yield from found

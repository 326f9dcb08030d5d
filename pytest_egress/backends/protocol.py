"""What every backend can do: enforce a contract for a workload, and probe through it.

A backend's life: `prepare` (start what takes time), `enforce` (apply a contract and return when the
proxy has it, which is asked of the proxy and never slept for), probes on the mesh that it gives,
`reset` between tests, `close`. What only some backends can do is a `Capability`; it is asked for
with `Backend.require`, never found out by trying.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, Protocol

from pytest_egress.contract.contract import Contract
from pytest_egress.contract.resources import Workload
from pytest_egress.envoy.program import Program
from pytest_egress.errors import CapabilityError
from pytest_egress.evidence import Evidence, UpstreamProof, Way
from pytest_egress.probe import DnsAnswer, Options, Target
from pytest_egress.upstream import Upstreams
from pytest_egress.verdict import Observation

if TYPE_CHECKING:
    from pytest_egress.backends.files import File
    from pytest_egress.capture.log import Log

__all__ = [
    "CAPABILITIES",
    "Backend",
    "Capability",
    "Mesh",
    "PodCommand",
    "PodSocket",
    "require",
]

Capability = Literal[
    "simulate", "live", "dial", "pod-exec", "pod-serve", "pod-run", "gateways", "dns-proxy"
]

#: What only some backends can do, and what it means.
CAPABILITIES: Mapping[Capability, str] = {
    "simulate": "the outside is simulated: egress.upstream, egress_upstreams",
    "live": "the real outside is asked: --egress-live",
    "dial": "connections of the test process enter the pod: egress.capture, egress.session",
    "pod-exec": "commands run in the pod: egress.pod.exec, egress.run",
    "pod-serve": "services run in the pod and are called from the test: egress.pod.serve",
    "pod-run": "images of the user's run in the pod: egress.pod.run",
    "gateways": "contracts that lead through an egress gateway",
    "dns-proxy": "Istio's agent resolves the pod's names: --egress-dns-proxy",
}


class PodSocket(socket.socket):
    """A connection that the proxy has captured.

    Attributes:
        source: the downstream address, ``ip:port``, that the proxy's records of it carry.
        connection: whatever the one who dialled wants to remember with it.
    """

    __slots__ = ("connection", "source")

    source: str
    connection: Any


class PodCommand(Protocol):
    """One command that runs in the pod."""

    def wait(self, timeout: float | None = None) -> int | None:
        """The exit status (minus the signal's number); None when ``timeout`` seconds are up."""
        ...

    def ended(self) -> bool:
        """Whether the command has ended, or what watched over it has gone."""
        ...

    def connect(self, port: int, timeout: float) -> Any:
        """Open a connection to a port of the command's own loopback.

        Raises:
            OSError: nothing listens there, or the command has gone.
        """
        ...

    def kill(self) -> None:
        """Kill the command and all that it has started."""
        ...

    def close(self) -> None:
        """Leave nothing behind. Twice is once."""
        ...


class Mesh(Protocol):
    """A contract that is being enforced for one workload."""

    @property
    def pods(self) -> int:
        """How many test pods probes that are under way at the same time are spread over."""
        ...

    @property
    def program(self) -> Program:
        """What the proxy was given, in istiod's names."""
        ...

    def program_of(self, proxy: str) -> Program:
        """What a proxy was given: a gateway by its name (`Evidence.proxy`); empty: the sidecar."""
        ...

    def probe(self, target: Target, options: Options) -> Observation:
        """Make one attempt from the pod and return all that was seen of it."""
        ...

    def lookup(self, name: str, family: str = "A", timeout: float = 5.0) -> DnsAnswer:
        """Resolve ``name`` as the pod's application would; ``family`` is A or AAAA."""
        ...

    def dial(self, address: str, port: int, timeout: float) -> PodSocket:
        """Open a TCP connection from the pod, captured by the proxy; capability ``dial``.

        The socket's ``source`` is the downstream address, ``ip:port``, that the records carry.

        Raises:
            OSError: the proxy does not accept it.
        """
        ...

    def launch(
        self,
        log: Log,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None,
        directory: str | None,
        stdin: IO[bytes],
        stdout: IO[bytes],
        stderr: IO[bytes],
        image: str = "",
        files: Sequence[File] = (),
    ) -> PodCommand:
        """Start a command in the pod; capability ``pod-exec``, with an image ``pod-run``.

        Args:
            log: gets the connections and lookups that it makes.
            command: program and arguments; with an image none: the image's own.
            image: it runs in a container of this image, as a part of the pod.
            files: with an image: they are in its container before it starts. Without: they are
                in a directory of the command's own, which is its working directory.
            environment: added to what the pod's own, or the image's, is.
            directory: its working directory; None: the pod's.
            stdin: a file with what it reads.
            stdout: a file for its output.
            stderr: another one.

        Raises:
            BackendError: the pod cannot run it.
        """
        ...

    def records(self, source: str) -> tuple[Evidence, ...]:
        """The records of a connection that have come since they were asked for."""
        ...

    def wait_for_records(
        self, source: str, timeout: float, known: tuple[Evidence, ...] = ()
    ) -> tuple[Evidence, ...]:
        """The records of a connection that has ended, less those that are ``known``."""
        ...

    def settle(self) -> str:
        """Return once the records of all that has happened are here; empty, or why not."""
        ...

    def follow(self, evidence: Evidence | None) -> Way:
        """Where a record of the sidecar led to, and what that proxy says of it."""
        ...

    def strangers(self) -> Mapping[str, str]:
        """Connections that the kernel brought to the proxy and that no probe or dial has made.

        Their sources and original destinations (``ip:port`` both), those whose records are there
        and were not taken.
        """
        ...

    def accepted(self, evidence: Evidence) -> UpstreamProof | None:
        """What the simulated outside knows of the connection behind a record."""
        ...

    @property
    def live(self) -> bool:
        """Whether the real outside is asked."""
        ...

    @property
    def directory(self) -> Path:
        """A directory of this mesh's own on this machine, which does not outlive the run."""
        ...

    @property
    def ca_file(self) -> str | None:
        """The CA that a pod must trust to speak TLS with the outside; None: the system's."""
        ...


class Backend(Protocol):
    """A place where contracts are enforced.

    Attributes:
        name: as in ``--egress-backend``.
        lacking: the capabilities that it does not have, each with the exact reason.
    """

    name: str

    @property
    def lacking(self) -> Mapping[Capability, str]:
        """The capabilities that it does not have, each with the exact reason."""
        ...

    def prepare(self) -> None:
        """Begin what takes time; a failure is told by `enforce`."""
        ...

    def enforce(self, contract: Contract, workload: Workload) -> Mesh:
        """Return once the proxy has applied ``contract`` and has been seen to pass traffic.

        Raises:
            BackendError: the proxy cannot be brought up or refuses the configuration.
            CapabilityError: the contract needs what this backend lacks.
        """
        ...

    def upstreams(self) -> Upstreams:
        """A handle to script the outside with; its scripts end when it is left.

        With ``--egress-live`` it is there as well, and refuses to be used.
        """
        ...

    def reset(self) -> None:
        """Drop every script of the outside, and all that it has seen."""
        ...

    def describe(self) -> str:
        """One line for pytest's header: the backend and its version."""
        ...

    def close(self) -> None:
        """Leave nothing behind. Twice is once."""
        ...


def require(backend: Backend, capability: Capability) -> None:
    """Return if ``backend`` has a capability.

    Raises:
        CapabilityError: it has not; with the reason.
    """
    reason = backend.lacking.get(capability)
    if reason is not None:
        raise CapabilityError(backend.name, capability, reason)

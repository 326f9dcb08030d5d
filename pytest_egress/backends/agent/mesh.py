"""A contract enforced for a pod that the agent speaks for: probing, dialling, looking up."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Generic

from pytest_egress.backends.agent.client import Agent, AgentLostError
from pytest_egress.backends.agent.own import OwnConnections
from pytest_egress.backends.protocol import PodSocket
from pytest_egress.backends.simulated import P, SimulatedMesh
from pytest_egress.contract.contract import Contract
from pytest_egress.contract.resources import Workload
from pytest_egress.errors import BackendError
from pytest_egress.probe import Attempt, DnsAnswer, Failure, Options, Target
from pytest_egress.upstream import Outside

if TYPE_CHECKING:
    from pytest_egress.backends.files import File
    from pytest_egress.backends.mesh_proxy import LedThrough
    from pytest_egress.backends.protocol import PodCommand
    from pytest_egress.capture.log import Log

__all__ = ["AgentMesh"]


class AgentMesh(SimulatedMesh[P], Generic[P]):
    """A pod in another place.

    Args:
        agent: of the pod.
        own: the connections of the agent's probes and dials.
        name_server: that the pod asks; None: what its system says.
    """

    def __init__(
        self,
        contract: Contract,
        workload: Workload,
        sidecar: P,
        outside: Outside,
        endpoints: Mapping[str, tuple[str, ...]],
        clients: Iterable[tuple[str, str]],
        generation: int,
        *,
        agent: Agent,
        own: OwnConnections,
        name_server: tuple[str, int] | None,
        live: bool,
        gateways: LedThrough | None = None,
    ) -> None:
        super().__init__(
            contract,
            workload,
            sidecar,
            outside,
            endpoints,
            clients,
            generation,
            live=live,
            gateways=gateways,
        )
        self._agent = agent
        self._own = own
        self._name_server = name_server

    def usable(self) -> bool:
        """Whether a probe has a chance here, as far as it is known without asking."""
        return self.running() and not self.sidecar.control_failure

    def mend(self) -> None:
        """Look whether probes have a chance here again."""

    def dial(self, address: str, port: int, timeout: float) -> PodSocket:
        """Open a connection from the pod, redirected to its proxy.

        Raises:
            OSError: it cannot be opened, or the pod is gone.
        """
        try:
            sock, source = self._agent.dial(address, port, timeout)
        except AgentLostError as error:
            raise OSError(str(error)) from None
        connection = PodSocket(fileno=sock.detach())
        connection.settimeout(timeout)
        connection.source = source
        self._own.claim(source)
        return connection

    @abstractmethod
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
        """Start a command in the pod.

        Raises:
            BackendError: the pod cannot run it.
        """

    def lookup(self, name: str, family: str = "A", timeout: float = 5.0) -> DnsAnswer:
        """Resolve ``name`` as the pod's application would."""
        try:
            return self._agent.lookup(name, family, timeout, dns=self._name_server)
        except BackendError:
            return DnsAnswer(name, "UNREACHABLE")

    def strangers(self) -> Mapping[str, str]:
        """What the kernel brought to the proxy, less what probes and dials have made."""
        return {
            source: destination
            for source, destination in self.sidecar.witness.waiting().items()
            if source not in self._own
        }

    def _attempt(self, target: Target, options: Options) -> tuple[Attempt, str | None]:
        try:
            probed = self._agent.probe(target, options, ca_file=self.ca_file, dns=self._name_server)
        except BackendError as error:
            failure = Failure("lost", f"the test pod is gone: {error.tried}")
            return Attempt(str(target), "tcp", False, failure, nonce=options.nonce), None
        if probed.source:
            self._own.claim(probed.source)
        return probed.attempt, probed.source or None

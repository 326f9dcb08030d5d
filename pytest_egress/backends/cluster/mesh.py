"""A contract in a cluster as one workload sees it: probing and dialling in its test pod."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

from pytest_egress.backends.agent import AgentLostError
from pytest_egress.backends.cluster.proxy import SidecarProxy
from pytest_egress.backends.protocol import PodSocket
from pytest_egress.backends.simulated import SimulatedMesh
from pytest_egress.capture.trust import BUNDLE_VARIABLES
from pytest_egress.contract.contract import Contract
from pytest_egress.contract.resources import Workload
from pytest_egress.envoy import Program
from pytest_egress.errors import BackendError
from pytest_egress.probe import Attempt, DnsAnswer, Failure, Options, Target
from pytest_egress.upstream import Outside
from pytest_egress.verdict import Observation

if TYPE_CHECKING:
    from pytest_egress.backends.protocol import PodCommand
    from pytest_egress.capture.log import Log

__all__ = ["ClusterMesh"]

_NAME_SERVER = ("127.0.0.1", 53)


class ClusterMesh(SimulatedMesh[SidecarProxy]):
    """A contract that was applied to a cluster, and the test pod that probes under it.

    Args:
        sidecar: the pod's proxy.
    """

    def __init__(
        self,
        contract: Contract,
        workload: Workload,
        sidecar: SidecarProxy,
        outside: Outside,
        endpoints: Mapping[str, tuple[str, ...]],
        clients: Iterable[tuple[str, str]],
        generation: int,
        program: Program,
        *,
        live: bool,
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
        )
        self.pod = sidecar.pod
        self.program = program
        self._dns = None if live else _NAME_SERVER

    def probe(self, target: Target, options: Options) -> Observation:
        """Make one attempt and gather what the proxy and the outside say of it."""
        observation = super().probe(target, options)
        resolved = observation.attempt.stage != "dns" or observation.resolver
        if observation.evidence is None and resolved and not self.sidecar.control_failure:
            # The pod may be ending: it is looked after before the next probe.
            self.sidecar.control_failure = "the last connection has no record"
        return observation

    def dial(self, address: str, port: int, timeout: float) -> PodSocket:
        """Open a connection from the pod, redirected to its proxy.

        Raises:
            OSError: it cannot be opened, or the pod is gone.
        """
        try:
            sock, source = self.pod.agent.dial(address, port, timeout)
        except AgentLostError as error:
            raise OSError(str(error)) from None
        connection = PodSocket(fileno=sock.detach())
        connection.settimeout(timeout)
        connection.source = source
        self.sidecar.claim(source)
        return connection

    def lookup(self, name: str, family: str = "A", timeout: float = 5.0) -> DnsAnswer:
        """Resolve ``name`` as the pod's application would."""
        try:
            return self.pod.agent.lookup(name, family, timeout, dns=self._dns)
        except BackendError:
            return DnsAnswer(name, "UNREACHABLE")

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
    ) -> PodCommand:
        """Start a command in the pod's own container.

        Raises:
            BackendError: the pod is gone.
        """
        from pytest_egress.backends.docker.commands import AgentCommand

        assert not image, "the capability pod-run is lacking"
        log.watch()
        self.pod.heard = log.heard
        environment = {**self._trust(), **(environment or {})}
        return AgentCommand(
            self.pod.agent, command, environment, directory, stdin, (stdout, stderr)
        )

    def strangers(self) -> Mapping[str, str]:
        """What the kernel brought to the proxy, less what probes and dials have made."""
        return {
            source: destination
            for source, destination in self.sidecar.witness.waiting().items()
            if source not in self.sidecar.own
        }

    def _trust(self) -> dict[str, str]:
        """The variables that name the outside's CA in the pod."""
        if self.ca_file is None:
            return {}
        path = self.pod.agent.file(Path(self.ca_file).read_bytes())
        return dict.fromkeys(BUNDLE_VARIABLES, path)

    def _attempt(self, target: Target, options: Options) -> tuple[Attempt, str | None]:
        try:
            probed = self.pod.agent.probe(target, options, ca_file=self.ca_file, dns=self._dns)
        except BackendError as error:
            self.sidecar.control_failure = f"the test pod is gone: {error.tried}"
            failure = Failure("lost", self.sidecar.control_failure)
            return Attempt(str(target), "tcp", False, failure, nonce=options.nonce), None
        failed = probed.attempt.failure
        refused = probed.attempt.stage == "tcp" and not probed.source
        if failed is not None and (failed.kind == "lost" or refused):
            # A sidecar takes every connection. The pod is looked after before the next probe.
            self.sidecar.control_failure = failed.message
        if probed.source:
            self.sidecar.claim(probed.source)
        return probed.attempt, probed.source or None

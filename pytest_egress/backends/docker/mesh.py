"""One pod of the docker backend with the contract it enforces: probing, dialling, commands."""

from __future__ import annotations

import socket
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import IO, TYPE_CHECKING

from pytest_egress.backends.agent import AgentLostError
from pytest_egress.backends.dns_proxy import AgentResolver
from pytest_egress.backends.docker.pod import CA_PATH, NAMES_PORT, DockerPod
from pytest_egress.backends.docker.proxy import DockerProxy
from pytest_egress.backends.protocol import PodSocket
from pytest_egress.backends.simulated import SimulatedMesh
from pytest_egress.capture.namespace.dns import answer
from pytest_egress.capture.trust import BUNDLE_VARIABLES
from pytest_egress.contract.contract import Contract
from pytest_egress.contract.resources import Workload
from pytest_egress.envoy import Program
from pytest_egress.errors import BackendError
from pytest_egress.probe import Attempt, DnsAnswer, Failure, Options, Target
from pytest_egress.upstream import Outside

if TYPE_CHECKING:
    from pytest_egress.backends.protocol import PodCommand
    from pytest_egress.capture.log import Log

__all__ = ["DockerMesh"]

_MOST_OWN = 20_000  # connections of ours that are told apart from those of commands


class DockerMesh(SimulatedMesh[DockerProxy]):
    """A pod whose probes, names and commands are in containers.

    Args:
        proxy: its Envoy, in the pod.
    """

    def __init__(
        self,
        contract: Contract,
        workload: Workload,
        proxy: DockerProxy,
        outside: Outside,
        endpoints: Mapping[str, tuple[str, ...]],
        clients: Iterable[tuple[str, str]],
        generation: int,
        *,
        live: bool,
    ) -> None:
        super().__init__(
            contract,
            workload,
            proxy,
            outside,
            endpoints,
            clients,
            generation,
            live=live,
        )
        self._pod: DockerPod = proxy.pod
        self._own: OrderedDict[str, None] = OrderedDict()
        self._dns = None if live else ("127.0.0.1", NAMES_PORT)
        if workload.dns_capture:
            self._pod.names = _of_agent(proxy.program, workload, self._pod.names)

    def dial(self, address: str, port: int, timeout: float) -> PodSocket:
        """Open a connection from the pod, redirected to the proxy.

        Raises:
            OSError: it cannot be opened, or the pod is gone.
        """
        try:
            sock, source = self._pod.agent.dial(address, port, timeout)
        except AgentLostError as error:
            raise OSError(str(error)) from None
        connection = PodSocket(fileno=sock.detach())
        connection.settimeout(timeout)
        connection.source = source
        self._claim(source)
        return connection

    def lookup(self, name: str, family: str = "A", timeout: float = 5.0) -> DnsAnswer:
        """Resolve ``name`` as the pod's application would."""
        try:
            return self._pod.agent.lookup(name, family, timeout, dns=self._dns)
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
        """Start a command in the pod's own container, or in one of ``image`` beside it.

        Raises:
            BackendError: the pod is gone, or the engine refuses.
        """
        from pytest_egress.backends.docker.commands import AgentCommand, ContainerCommand

        log.watch()
        self._pod.heard = log.heard
        environment = {**self._trust(), **(environment or {})}
        if image:
            return ContainerCommand(
                self._pod, image, command, environment, directory, stdin, (stdout, stderr)
            )
        return AgentCommand(
            self._pod.agent, command, environment, directory, stdin, (stdout, stderr)
        )

    def strangers(self) -> Mapping[str, str]:
        """What the kernel brought to the proxy, less what probes and dials have made."""
        return {
            source: destination
            for source, destination in self.sidecar.witness.waiting().items()
            if source not in self._own
        }

    def _trust(self) -> dict[str, str]:
        return {} if self._live else dict.fromkeys(BUNDLE_VARIABLES, CA_PATH)

    def _claim(self, source: str) -> None:
        """Take note of a connection that we have made."""
        self._own[source] = None
        while len(self._own) > _MOST_OWN:
            self._own.popitem(last=False)

    def _attempt(self, target: Target, options: Options) -> tuple[Attempt, str | None]:
        try:
            probed = self._pod.agent.probe(target, options, ca_file=self.ca_file, dns=self._dns)
        except BackendError as error:
            failure = Failure("lost", f"the test pod is gone: {error.tried}")
            return Attempt(str(target), "tcp", False, failure, nonce=options.nonce), None
        if probed.source:
            self._claim(probed.source)
        return probed.attempt, probed.source or None


def _of_agent(
    program: Program, workload: Workload, others: Callable[[bytes, bool], bytes | None]
) -> Callable[[bytes, bool], bytes | None]:
    """The names of Istio's agent: those of its table, and ``others`` for the rest."""
    resolver = AgentResolver(program.names, workload.namespace, _Nobody())

    def names(query: bytes, udp: bool) -> bytes | None:
        try:
            return answer(query, lambda name: resolver.lookup(name, socket.AF_INET, 0.0))
        except LookupError:
            return others(query, udp)

    return names


class _Nobody:
    """Knows no name."""

    def lookup(self, name: str, family: int, timeout: float) -> DnsAnswer:
        """Say so."""
        del family, timeout
        raise LookupError(name)

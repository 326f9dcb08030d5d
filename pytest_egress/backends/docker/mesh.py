"""One pod of the docker backend with the contract it enforces: probing, dialling, commands."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import IO, TYPE_CHECKING

from pytest_egress.backends.agent.mesh import AgentMesh
from pytest_egress.backends.agent.own import OwnConnections
from pytest_egress.backends.dns_proxy import AgentResolver
from pytest_egress.backends.docker.pod import NAMES_PORT, DockerPod
from pytest_egress.backends.docker.proxy import DockerProxy
from pytest_egress.backends.files import CA_PATH
from pytest_egress.capture.namespace.dns import answer
from pytest_egress.capture.trust import BUNDLE_VARIABLES
from pytest_egress.contract.contract import Contract
from pytest_egress.contract.resources import Workload
from pytest_egress.envoy import Program
from pytest_egress.probe import DnsAnswer
from pytest_egress.upstream import Outside

if TYPE_CHECKING:
    from pytest_egress.backends.files import File
    from pytest_egress.backends.gateways import Gateways
    from pytest_egress.backends.protocol import PodCommand
    from pytest_egress.capture.log import Log

__all__ = ["DockerMesh"]


class DockerMesh(AgentMesh[DockerProxy]):
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
        gateways: Gateways | None = None,
    ) -> None:
        super().__init__(
            contract,
            workload,
            proxy,
            outside,
            endpoints,
            clients,
            generation,
            agent=proxy.pod.agent,
            own=OwnConnections(),
            name_server=None if live else ("127.0.0.1", NAMES_PORT),
            live=live,
            gateways=gateways,
        )
        self._pod: DockerPod = proxy.pod
        self._carrier = proxy.pod.carrier
        if workload.dns_capture:
            self._pod.names = _of_agent(proxy.program, workload, self._pod.names)

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
        """Start a command in the pod's own container, or in one of ``image`` beside it.

        Raises:
            BackendError: the pod is gone, or the engine refuses.
        """
        from pytest_egress.backends.agent.command import AgentCommand
        from pytest_egress.backends.docker.commands import ContainerCommand

        log.watch()
        self._pod.heard = log.heard
        environment = {**self._trust(), **(environment or {})}
        if image:
            return ContainerCommand(
                self._pod,
                image,
                command,
                environment,
                directory,
                stdin,
                (stdout, stderr),
                files=files,
            )
        self._pod.trust()
        return AgentCommand(
            self._pod.agent, command, environment, directory, stdin, (stdout, stderr), files=files
        )

    def _trust(self) -> dict[str, str]:
        return {} if self._live else dict.fromkeys(BUNDLE_VARIABLES, CA_PATH)


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

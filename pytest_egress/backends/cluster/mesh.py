"""A contract in a cluster as one workload sees it: probing and dialling in its test pod."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

from pytest_egress.backends.agent.mesh import AgentMesh
from pytest_egress.backends.cluster.proxy import SidecarProxy
from pytest_egress.capture.trust import BUNDLE_VARIABLES
from pytest_egress.contract.contract import Contract
from pytest_egress.contract.resources import Workload
from pytest_egress.envoy import Program
from pytest_egress.errors import BackendError
from pytest_egress.evidence import Evidence
from pytest_egress.probe import Options, Target
from pytest_egress.upstream import Outside
from pytest_egress.verdict import Observation

if TYPE_CHECKING:
    from pytest_egress.backends.agent.command import Outputs
    from pytest_egress.backends.cluster.gateways import ClusterGateways
    from pytest_egress.backends.files import File
    from pytest_egress.backends.protocol import PodCommand
    from pytest_egress.capture.log import Log

__all__ = ["ClusterMesh"]

_NAME_SERVER = ("127.0.0.1", 53)


class ClusterMesh(AgentMesh[SidecarProxy]):
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
        gateways: ClusterGateways | None = None,
    ) -> None:
        super().__init__(
            contract,
            workload,
            sidecar,
            outside,
            endpoints,
            clients,
            generation,
            agent=sidecar.pod.agent,
            own=sidecar.own,
            name_server=None if live else _NAME_SERVER,
            live=live,
            gateways=gateways,
        )
        self.pod = sidecar.pod
        self._carrier = sidecar.pod.path
        self._carriers = {it.name: it.proxy.pod.path for it in gateways or ()}
        self.program = program

    def probe(self, target: Target, options: Options) -> Observation:
        """Make one attempt and gather what the proxy and the outside say of it."""
        observation = super().probe(target, options)
        failure = observation.attempt.failure
        lost = failure is not None and failure.kind == "lost"
        resolved = observation.attempt.stage != "dns" or observation.resolver
        unseen = lost or (observation.evidence is None and resolved)
        if unseen and not self.sidecar.control_failure:
            # A sidecar takes every connection. The pod is looked after before the next probe.
            self.sidecar.control_failure = "the last connection has no record"
        return observation

    def mend(self) -> None:
        """Look whether the positive control passes again: a lost stream is opened anew."""
        self.sidecar.look()

    def _carrier_of(self, evidence: Evidence) -> str:
        """The pod of the proxy that made a record: a gateway's is another one."""
        return self._carriers.get(evidence.proxy, self._carrier)

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
        """Start a command in the pod's own container, or in one of ``image`` that is added to it.

        Raises:
            BackendError: the pod is gone, or the cluster refuses.
        """
        from pytest_egress.backends.agent.command import AgentCommand

        log.watch()
        self.pod.heard = log.heard
        if image:
            return self._add(
                image, command, environment or {}, directory, stdin, (stdout, stderr), files
            )
        environment = {**self._trust(), **(environment or {})}
        return AgentCommand(
            self.pod.agent, command, environment, directory, stdin, (stdout, stderr), files=files
        )

    def _add(
        self,
        image: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        directory: str | None,
        stdin: IO[bytes],
        outputs: Outputs,
        files: Sequence[File],
    ) -> PodCommand:
        from pytest_egress.backends.cluster.commands import AddedCommand
        from pytest_egress.backends.files import CA_PATH, File

        authority = self.pod.trusted
        if authority:
            files = (File(CA_PATH, authority), *files)
            environment = {**dict.fromkeys(BUNDLE_VARIABLES, CA_PATH), **environment}
        try:
            return AddedCommand(
                self.pod, image, command, environment, directory, stdin, outputs, files=files
            )
        except BackendError as error:
            self.sidecar.control_failure = f"an image did not run: {error.tried}"
            raise

    def _trust(self) -> dict[str, str]:
        """The variables that name the outside's CA in the pod."""
        if self.ca_file is None:
            return {}
        path = self.pod.agent.file(Path(self.ca_file).read_bytes())
        return dict.fromkeys(BUNDLE_VARIABLES, path)

"""One embedded Envoy with the contract it enforces: dialling it, commands behind it."""

from __future__ import annotations

import errno
import itertools
import socket
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, TYPE_CHECKING

from pytest_egress.backends.dns_proxy import AgentResolver
from pytest_egress.backends.files import write
from pytest_egress.backends.process import EnvoyProcess
from pytest_egress.backends.protocol import PodCommand, PodSocket
from pytest_egress.backends.proxy import EmbeddedProxy
from pytest_egress.backends.simulated import SimulatedMesh
from pytest_egress.contract.contract import Contract
from pytest_egress.contract.resources import Workload
from pytest_egress.envoy import Program
from pytest_egress.probe import (
    Attempt,
    DnsAnswer,
    DnsResolver,
    Options,
    Prober,
    Resolver,
    SystemResolver,
    Target,
)
from pytest_egress.upstream import Outside

if TYPE_CHECKING:
    from pytest_egress.backends.files import File
    from pytest_egress.backends.gateways import Gateways
    from pytest_egress.capture.log import Log
    from pytest_egress.envoy.secrets import Identity

__all__ = ["LocalMesh"]

_CAPTURE = "virtualOutbound"


class LocalMesh(SimulatedMesh[EmbeddedProxy]):
    """One embedded Envoy with the contract it enforces."""

    def __init__(
        self,
        contract: Contract,
        workload: Workload,
        program: Program,
        process: EnvoyProcess,
        outside: Outside,
        endpoints: Mapping[str, tuple[str, ...]],
        clients: Iterable[tuple[str, str]],
        generation: int,
        *,
        live: bool,
        pod_root: str = "/",
        gateways: Gateways | None = None,
        identity: Identity | None = None,
        sources: Iterator[int] | None = None,
    ) -> None:
        sidecar = EmbeddedProxy(
            program,
            process,
            outside,
            (_CAPTURE,),
            live=live,
            pod_root=pod_root,
            identity=identity,
        )
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
        self._sources = itertools.count() if sources is None else sources
        self._dialled = threading.local()
        self._resolver: Resolver = SystemResolver() if live else DnsResolver(outside.pod_dns)
        if workload.dns_capture:
            self._resolver = AgentResolver(program.names, workload.namespace, self._resolver)
        self._prober: Prober | None = None

    @property
    def pid(self) -> int:
        """The process id of Envoy."""
        return self.sidecar.pid

    def dial(self, address: str, port: int, timeout: float) -> PodSocket:
        """Open a connection to ``address:port`` as the pod would: captured by the proxy.

        Raises:
            OSError: the proxy does not accept it.
        """
        if ":" in address:
            raise OSError(errno.EAFNOSUPPORT, "the pod has no IPv6 address")
        source = self._source(address, port)
        connection = self.sidecar.dial(_CAPTURE, source, (address, port), timeout)
        self._dialled.source = connection.source
        return connection

    def lookup(self, name: str, family: str = "A", timeout: float = 5.0) -> DnsAnswer:
        """Resolve ``name`` as the pod's application would."""
        families = {"A": socket.AF_INET, "AAAA": socket.AF_INET6}
        return self._resolver.lookup(name, families[family], timeout)

    def _attempt(self, target: Target, options: Options) -> tuple[Attempt, str | None]:
        """Make an attempt; it, and the source address of its connection, if it had one."""
        self._dialled.source = None
        return self._get_prober().attempt(target, options), self._dialled.source

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
        """Start a command in a network namespace of its own, led through the proxy.

        Raises:
            BackendError: the system does not allow that; the message says what forbids it.
        """
        assert not image, "the capability pod-run is lacking"
        from pytest_egress.capture import environment as whole
        from pytest_egress.capture.namespace.host import Namespace

        own: TemporaryDirectory[str] | None = None
        if files:
            own = TemporaryDirectory(dir=self.directory)
            write(files, Path(own.name))
            directory = own.name
        try:
            started = Namespace(
                log,
                command,
                environment=whole.environment(self.ca_file, self.directory, environment),
                directory=directory,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
            )
        except BaseException:
            if own is not None:
                own.cleanup()
            raise
        return started if own is None else _InDirectory(started, own)

    def strangers(self) -> Mapping[str, str]:
        """None: whatever comes has been dialled by us."""
        return {}

    def _get_prober(self) -> Prober:
        if self._prober is None:
            self._prober = Prober(self.dial, self._resolver, ca_file=self.ca_file)
        return self._prober

    def _source(self, address: str, port: int) -> tuple[str, int]:
        """Choose the source address of a connection.

        Its IP is the place on loopback that stands for the original destination (see
        `pytest_egress.envoy.instruments.original_destination`); IP and port together are unique
        among the connections of this proxy that are under way, which ties the records to them.
        """
        number = next(self._sources)
        if self._live:
            high, low = divmod(number, 60_000)
            return f"10.255.{high // 256 % 256}.{high % 256}", 1024 + low
        return self._outside.original(address, port), 1024 + number % 60_000


class _InDirectory:
    """A command with a directory of its own, which ends with it.

    Args:
        command: it.
        directory: that it works in.
    """

    def __init__(self, command: PodCommand, directory: TemporaryDirectory[str]) -> None:
        self._command = command
        self._directory = directory
        self.wait = command.wait
        self.ended = command.ended
        self.connect = command.connect
        self.kill = command.kill

    def close(self) -> None:
        """Leave nothing behind. Twice is once."""
        self._command.close()
        self._directory.cleanup()

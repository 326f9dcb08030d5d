"""What every backend can do: enforce a contract for a workload, and probe through it."""

from __future__ import annotations

import socket
from typing import Protocol

from pytest_egress.contract.contract import Contract
from pytest_egress.contract.resources import Workload
from pytest_egress.envoy.program import Program
from pytest_egress.probe import DnsAnswer, Options, Target
from pytest_egress.upstream import Upstreams
from pytest_egress.verdict import Observation

__all__ = ["Backend", "Mesh"]


class Mesh(Protocol):
    """A contract that is being enforced for one workload.

    Attributes:
        program: what the proxy was given, in istiod's names.
    """

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

    def dial(self, address: str, port: int, timeout: float) -> socket.socket:
        """Open a TCP connection from the pod, captured by the proxy."""
        ...

    @property
    def ca_file(self) -> str | None:
        """The CA that a pod must trust to speak TLS with the outside; None: the system's."""
        ...


class Backend(Protocol):
    """A place where contracts are enforced."""

    name: str

    def enforce(self, contract: Contract, workload: Workload) -> Mesh:
        """Return once the proxy has applied ``contract`` and has been seen to pass traffic.

        Raises:
            BackendError: the proxy cannot be brought up or refuses the configuration.
        """
        ...

    def upstreams(self) -> Upstreams:
        """A handle to script the outside with; its scripts end when it is left."""
        ...

    def describe(self) -> str:
        """One line for pytest's header: the backend and its version."""
        ...

    def close(self) -> None:
        """Leave nothing behind. Twice is once."""
        ...

"""Several test pods of one contract and workload as one mesh: probes are spread over them.

A probe starts in the pod with the fewest under way, the first of equals. So probes that follow one
another all start in the first pod, as if there were no other, and what they expect of its proxy
(turns, ejected hosts) holds. All else, such as commands and captures, is of one definite pod: the
first one that is there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Generic, TypeVar

from pytest_egress.envoy import Program
from pytest_egress.envoy.traffic_policy.limits import NO_LIMIT
from pytest_egress.evidence import Evidence, UpstreamProof, Way
from pytest_egress.probe import DnsAnswer, Options, Target
from pytest_egress.verdict import Observation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_egress.backends.agent.mesh import AgentMesh
    from pytest_egress.backends.files import File
    from pytest_egress.backends.mesh_proxy import LedThrough
    from pytest_egress.backends.protocol import PodCommand, PodSocket
    from pytest_egress.capture.log import Log
    from pytest_egress.contract.contract import Contract
    from pytest_egress.contract.resources import Workload

__all__ = ["Spread", "at_once", "counts_for_itself"]

_FIRST_REST, _LONGEST_REST = 1.0, 30.0  # seconds between two looks at a pod that fails

M = TypeVar("M", bound="AgentMesh[Any]")
_T = TypeVar("_T")
_R = TypeVar("_R")


class _Lane(Generic[M]):
    """One pod, and what is known of its work."""

    __slots__ = ("looked_after", "mesh", "rest", "under_way")

    def __init__(self, mesh: M) -> None:
        self.mesh = mesh
        self.under_way = 0
        self.rest = _FIRST_REST
        self.looked_after = -_LONGEST_REST


class Spread(Generic[M]):
    """Meshes of the same contract and workload, each in a pod of its own.

    A pod that fails takes the probes in flight with it; those to come start in the others. When
    none is left, the backend makes all anew.

    Args:
        meshes: at least one; the first is the definite one.
        clock: gives seconds.
    """

    def __init__(self, meshes: Sequence[M], clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.leases = 0  # counted by the backend
        self._lock = threading.Lock()
        self._lanes = [_Lane(mesh) for mesh in meshes]

    @property
    def meshes(self) -> tuple[M, ...]:
        """The mesh of each pod."""
        return tuple(lane.mesh for lane in self._lanes)

    @property
    def pods(self) -> int:
        """How many there are, those that are lost included."""
        return len(self._lanes)

    @property
    def first(self) -> M:
        """The definite one: the first that is there."""
        return next((it for it in self.meshes if it.running()), self._lanes[0].mesh)

    @property
    def under_way(self) -> int:
        """How many probes there are at this moment."""
        with self._lock:
            return sum(lane.under_way for lane in self._lanes)

    def probe(self, target: Target, options: Options) -> Observation:
        """Make one attempt from the pod that has least to do."""
        with self._chosen() as mesh:
            return mesh.probe(target, options)

    @contextmanager
    def _chosen(self) -> Iterator[M]:
        self._look_after()
        with self._lock:
            usable = [it for it in self._lanes if it.mesh.usable()]
            lane = min(usable or self._lanes, key=lambda it: it.under_way)
            lane.under_way += 1
        try:
            yield lane.mesh
        finally:
            with self._lock:
                lane.under_way -= 1

    def _look_after(self) -> None:
        """Look at one pod that has failed while the others go on; now and then."""
        with self._lock:
            now = self._clock()
            failed = [it for it in self._lanes if not it.mesh.usable()]
            if len(failed) == len(self._lanes):
                return
            due = [it for it in failed if it.looked_after + it.rest <= now]
            if not due:
                return
            lane = due[0]
            lane.looked_after = now
            lane.rest = min(2 * lane.rest, _LONGEST_REST)
        lane.mesh.mend()
        if lane.mesh.usable():
            lane.rest = _FIRST_REST

    # -- the definite pod -------------------------------------------------------------------------

    @property
    def contract(self) -> Contract:
        """What is enforced."""
        return self.first.contract

    @property
    def workload(self) -> Workload:
        """For whom."""
        return self.first.workload

    @property
    def program(self) -> Program:
        """What each proxy was given."""
        return self.first.program

    @property
    def gateways(self) -> LedThrough | None:
        """Those of the definite pod; each has its own."""
        return self.first.gateways

    @property
    def live(self) -> bool:
        """Whether the real outside is asked."""
        return self.first.live

    @property
    def directory(self) -> Path:
        """The definite pod's, on this machine."""
        return self.first.directory

    @property
    def ca_file(self) -> str | None:
        """The throw-away CA of the simulated outside; None when the real one is asked."""
        return self.first.ca_file

    def program_of(self, proxy: str) -> Program:
        """What a proxy was given."""
        return self.first.program_of(proxy)

    def lookup(self, name: str, family: str = "A", timeout: float = 5.0) -> DnsAnswer:
        """Resolve ``name`` as the pod's application would."""
        return self.first.lookup(name, family, timeout)

    def dial(self, address: str, port: int, timeout: float) -> PodSocket:
        """Open a connection from the definite pod.

        Raises:
            OSError: it cannot be opened.
        """
        return self.first.dial(address, port, timeout)

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
        """Start a command in the definite pod.

        Raises:
            BackendError: the pod cannot run it.
        """
        return self.first.launch(
            log,
            command,
            environment=environment,
            directory=directory,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            image=image,
            files=files,
        )

    def records(self, source: str) -> tuple[Evidence, ...]:
        """The records of a connection of the definite pod."""
        return self.first.records(source)

    def wait_for_records(
        self, source: str, timeout: float, known: tuple[Evidence, ...] = ()
    ) -> tuple[Evidence, ...]:
        """The same of a connection that has ended."""
        return self.first.wait_for_records(source, timeout, known)

    def settle(self) -> str:
        """Return once the records of all that has happened in the definite pod are here."""
        return self.first.settle()

    def follow(self, evidence: Evidence | None) -> Way:
        """Where a record of the definite pod led to."""
        return self.first.follow(evidence)

    def strangers(self) -> Mapping[str, str]:
        """What the kernel brought to the definite pod's proxy."""
        return self.first.strangers()

    def accepted(self, evidence: Evidence) -> UpstreamProof | None:
        """What the outside knows of the connection behind a record of the definite pod."""
        return self.first.accepted(evidence)

    # -- for the backend --------------------------------------------------------------------------

    def enforces(self, contract: Contract, workload: Workload) -> bool:
        """Whether these are the proxies for ``contract`` as ``workload`` sees it."""
        return self.first.enforces(contract, workload)

    def running(self) -> bool:
        """Whether there is a pod left."""
        return any(it.running() for it in self.meshes)

    def stale(self, generation: int) -> bool:
        """Whether a test that begins now needs other proxies."""
        stale = [it.stale(generation) for it in self.meshes]  # each takes note
        return any(stale)

    def prepare(self) -> None:
        """Tell the outside what this contract's upstreams are."""
        self.first.prepare()

    def bootstrap(self) -> dict[str, Any]:
        """The bootstrap that each Envoy is given, but for its directory."""
        return self.first.bootstrap()

    def start(self, timeout: float) -> None:
        """Start every proxy and return once the positive control has passed through each.

        Raises:
            BackendError: one does not serve.
        """
        at_once(lambda mesh: mesh.start(timeout), self.meshes)

    def close(self) -> None:
        """End every pod. Twice is once."""
        at_once(lambda mesh: mesh.close(), self.meshes)


def at_once(do: Callable[[_T], _R], items: Iterable[_T]) -> list[_R]:
    """Do something with each item at the same time; the results in the items' order.

    Each is done to its end before the first failure, if there is one, is raised.
    """
    each = list(items)
    if len(each) == 1:
        return [do(each[0])]
    with ThreadPoolExecutor(max(1, len(each)), "pytest-egress-pods") as executor:
        return list(executor.map(do, each))


def counts_for_itself(*programs: Program) -> bool:
    """Whether one of the proxies counts what it does: then several have other answers than one.

    That is where a cluster limits connections or requests, or ejects hosts that fail.
    """
    limits = ("max_connections", "max_pending_requests", "max_requests", "max_retries")
    return any(
        "outlier_detection" in cluster
        or any(
            threshold.get(limit, NO_LIMIT) != NO_LIMIT
            for threshold in cluster.get("circuit_breakers", {}).get("thresholds", ())
            for limit in limits
        )
        for program in programs
        for cluster in program.clusters
    )

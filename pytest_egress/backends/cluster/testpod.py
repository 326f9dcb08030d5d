"""One test pod with its agent, its proxy's records and its way to the simulated outside."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_egress.backends.agent import Agent, AgentLostError
from pytest_egress.backends.agent.connection import Connection
from pytest_egress.backends.agent.heard import tell
from pytest_egress.backends.cluster.admin import ADMIN, Admin, ProxySilentError
from pytest_egress.backends.cluster.api import Api, ApiError
from pytest_egress.backends.cluster.diagnosis import described, syncz
from pytest_egress.backends.cluster.keeper import Images, Keeper
from pytest_egress.backends.cluster.pod import (
    CONTAINER,
    HELD_PORT,
    PROXY,
    WITNESS_PORT,
)
from pytest_egress.backends.cluster.podstatus import (
    failing,
    not_begun,
    not_running,
    runs,
    stays,
    unready,
)
from pytest_egress.backends.cluster.progress import Say, until
from pytest_egress.backends.cluster.reading import Reading
from pytest_egress.backends.cluster.redirect import OUTSIDE_PORTS
from pytest_egress.backends.witness import Witness
from pytest_egress.errors import BackendError
from pytest_egress.probe import DnsAnswer, Options, Target
from pytest_egress.upstream import Outside

if TYPE_CHECKING:
    from pytest_egress.backends.cluster.entrance import Entrance

__all__ = ["PodLostError", "TestPod"]

_DOMAIN = "cluster.local"
_TRIED = 3.0  # seconds that the agent is often tried before its container is said to run
_SELDOM = 1.0  # seconds between two tries later
_RELEASED = 5.0  # seconds after which a proxy has not been held
_NEVER = frozenset({0, 401, 403})  # statuses that a moment later are the same


class PodLostError(BackendError):
    """The test pod was deleted or evicted: another one is needed."""


class TestPod:
    """A pod that is there; `start` waits until it can be used.

    Args:
        api: of its cluster.
        namespace: in the cluster.
        name: its own.
        directory: private to it, on this machine.
        reading: turns its proxy's records into evidence.
        outside: what its proxy reaches; None: the real one.
        name_server: of the cluster; empty: its names are not asked for.
        say: tells what is being waited for.
        own_log: the proxy's own access log is read: it has no logger of ours.
        container: where probes start.
        images: how images of the user's are brought into it; None: they are not.
        files: that its sidecar has, by their paths.
    """

    __test__ = False  # to pytest it is no test

    def __init__(
        self,
        api: Api,
        namespace: str,
        name: str,
        directory: Path,
        reading: Reading,
        outside: Outside | None,
        name_server: str,
        say: Say,
        *,
        own_log: bool = False,
        container: str = CONTAINER,
        images: Images | None = None,
        files: Mapping[str, bytes] | None = None,
    ) -> None:
        self.namespace = namespace
        self.name = name
        self._container = container
        self.directory = directory
        self._own_log = own_log
        self._reading = reading
        self.witness: Any = None
        if not own_log:
            self.witness = Witness(directory / "witness.sock", reading)
        self.closed = False
        self.files = dict(files or {})
        #: Takes what the proxy dials at an address that is a pod of the run's.
        self.entrances: Mapping[str, Entrance] = {}
        #: Told of each name that is looked up in the pod, and of the answer.
        self.heard: Callable[[str, DnsAnswer], None] | None = None
        self._tried_since = self._next_try = 0.0
        self._released = threading.Event()  # a proxy that was held
        self._api = api
        self._outside = outside
        self._name_server = name_server
        self._say = say
        #: Holds containers at their start; used first when an image is run.
        self._keeper: Keeper | None = None
        if images is not None:
            self._keeper = Keeper(api, namespace, name, container, images)
        self.agent = Agent(
            lambda command: api.exec(namespace, name, container, command),
            name=f"the pod {namespace}/{name}",
            on_start=self._serve,
        )
        #: The proxy's own server.
        self.admin = Admin(self.agent, f"{namespace}/{name}")

    @property
    def path(self) -> str:
        """Its path at the API server."""
        return f"/api/v1/namespaces/{self.namespace}/pods/{self.name}"

    def start(self, timeout: float, *, held: bool = False) -> None:
        """Return once the agent has answered.

        A proxy whose own log is read is ready then; another one may still be starting.

        Args:
            timeout: seconds that each of them may take.
            held: the proxy starts only when the agent serves names.

        Raises:
            BackendError: it is not within ``timeout`` seconds; with what the cluster says of it.
        """
        self.agent.pack()
        own = self._container == CONTAINER
        what = f"the test pod {self.namespace}/{self.name}"
        self._await(self._agent_missing if own else self._missing, what, timeout)
        self.agent.start()
        if self._own_log:
            from pytest_egress.backends.cluster.log_witness import LogWitness

            if self._outside is not None and not (held and self._released.wait(_RELEASED)):
                self._restart_proxy(timeout)
            self._await(self._proxy_missing, self._sidecar, timeout)
            self.witness = LogWitness(self._follow, self._reading)

    @property
    def _sidecar(self) -> str:
        return f"the sidecar of {self.namespace}/{self.name}"

    def _await(self, done: Callable[[], str], what: str, timeout: float) -> None:
        missing = until(done, timeout, f"waiting for {what}", self._say, interval=0.1)
        if missing:
            raise BackendError(
                f"{what} is not ready after {timeout:g} s: {missing}",
                self.describe(),
                "the events above say what the cluster could not do",
            )

    def _restart_proxy(self, timeout: float) -> None:
        """Let the proxy look its names up again, now that there is an agent to answer.

        Those of the contract that were there at its start it would ask again only after a minute.
        """
        self._await(self._missing, self._sidecar, timeout)
        before = self._restarts()
        options = Options(method="POST", timeout=10.0)
        self.agent.probe(Target.parse(f"{ADMIN}/quitquitquit"), options)

        def missing() -> str:
            if self._restarts() == before:
                return "it has not started again"
            return self._missing()

        self._await(missing, self._sidecar, timeout)

    def _restarts(self) -> int:
        status = self._read().get("status", {})
        containers = [
            *status.get("initContainerStatuses", ()),
            *status.get("containerStatuses", ()),
        ]
        return sum(int(it.get("restartCount", 0)) for it in containers if it["name"] == PROXY)

    def _follow(self) -> Any:
        query = {"container": PROXY, "follow": "true", "sinceSeconds": "1"}
        return self._api.follow(f"{self.path}/log", "follow the sidecar's access log", **query)

    @property
    def keeper(self) -> Keeper:
        """What images are run by; capability ``pod-run``."""
        assert self._keeper is not None, "the capability pod-run is lacking"
        return self._keeper

    @property
    def trusted(self) -> bytes:
        """The simulated outside's CA, PEM; empty: the real one is asked."""
        return b"" if self._outside is None else self._outside.ca_file.read_bytes()

    def discard(self) -> None:
        """Delete the pod; the next contract has another one.

        Raises:
            ApiError: the cluster refuses it.
        """
        self._api.delete(self.path, f"delete the pod {self.name}", grace=0)

    def address(self, timeout: float) -> str:
        """The pod's own, as soon as the cluster tells it: a moment after the agent has answered.

        Raises:
            BackendError: it does not within ``timeout`` seconds.
        """
        found = ""

        def missing() -> str:
            nonlocal found
            found = str(self._read().get("status", {}).get("podIP", ""))
            return "" if found else "its address is not known"

        what = f"waiting for the address of {self.namespace}/{self.name}"
        failure = until(missing, timeout, what, self._say, interval=0.1)
        if failure:
            raise BackendError(
                f"the test pod {self.namespace}/{self.name} is not ready after {timeout:g} s: "
                f"{failure}",
                self.describe(),
            )
        return found

    def check(self) -> None:
        """Return if the pod is still the one that was started.

        Raises:
            PodLostError: it has gone, or will have in a moment.
        """
        pod = self._read()
        missing = failing(pod)
        if missing and not stays(pod):
            raise PodLostError(
                f"the test pod {self.namespace}/{self.name} was lost: {missing}", self.describe()
            )

    def exists(self) -> bool:
        """Whether the pod is there and is to stay.

        Raises:
            ApiError: the cluster does not tell.
        """
        return stays(self._read())

    def describe(self) -> str:
        """What the cluster says of the pod: its state, its events, the end of its logs."""
        containers = (PROXY, self._container, "egress-redirect", "istio-init")
        return described(self._api, self.namespace, self.name, containers)

    def refused(self) -> str:
        """What proxy and istiod say of a configuration that does not arrive."""
        return "\n".join(filter(None, (self.syncz(), self.describe())))

    def syncz(self) -> str:
        """What istiod says that it has sent to this pod's proxy.

        It tells only from within its own pod; empty where this account may not look there.
        """
        return syncz(self._api, self.namespace, self.name)

    def close(self) -> None:
        """Let go of the pod: the agent ends, the records are no longer received."""
        self.closed = True
        self.agent.close()
        if self._keeper is not None:
            self._keeper.close()
        if self.witness is not None:
            self.witness.close()

    def _read(self) -> dict[str, Any]:
        """The pod; empty when it is not there."""
        try:
            return self._api.get(self.path, f"read the pod {self.name}")
        except ApiError as error:
            if error.status == 404:
                return {}
            raise

    def _agent_missing(self) -> str:
        """What keeps the agent from being started; empty once it has answered."""
        pod = self._read()
        missing = failing(pod) or not_begun(pod)
        if missing:
            return missing
        # The kubelet tells of a container a second after it runs: the agent is tried before.
        told = runs(pod, CONTAINER)
        now = time.monotonic()
        self._tried_since = self._tried_since or now
        if not told and now < self._next_try:
            return f"{CONTAINER} does not run: {unready(pod)}"
        self._next_try = now + (_SELDOM if now > self._tried_since + _TRIED else 0.0)
        try:
            self.agent.start()
        except (ApiError, AgentLostError) as error:
            if told or (isinstance(error, ApiError) and error.status in _NEVER):
                raise
            return f"{CONTAINER} does not run: {error.output or unready(pod)}"
        return ""

    def _proxy_missing(self) -> str:
        """What keeps the proxy from being used; empty when it says that nothing does."""
        failure = failing(self._read())
        if failure:
            return failure
        try:
            return "" if "LIVE" in self.admin.ask("ready") else "it is still starting"
        except ProxySilentError as error:
            return error.tried

    def _missing(self) -> str:
        pod = self._read()
        missing = failing(pod) or unready(pod)
        if not missing and self._container != CONTAINER:
            return not_running(pod, self._container)
        return missing

    def _serve(self, connection: Connection) -> None:
        """Let a new stream carry what the pod's proxy dials and says."""
        if not self._own_log:
            connection.listen("127.0.0.1", WITNESS_PORT, "witness", self._witnessed)
        if self._outside is not None:
            first, *more = OUTSIDE_PORTS
            connection.listen("127.0.0.1", first, "outside", self._dialled, more=more)
            server = (self._name_server, 53) if self._name_server else None
            domains = (_DOMAIN,) if server else ()
            connection.serve_names("127.0.0.1", 53, self._answer, domains=domains, upstream=server)
            if self._own_log:
                connection.listen("127.0.0.1", HELD_PORT, "held", self._release)

    def _witnessed(self, _peer: str, _to: tuple[str, int]) -> Any:
        sock = socket.socket(socket.AF_UNIX)
        # Not socket.connect, which an in-process capture may have replaced.
        super(socket.socket, sock).connect(str(self.witness.path))
        return sock

    def _release(self, _peer: str, _to: tuple[str, int]) -> None:
        """Take note that a proxy that was held starts: whoever holds it has found the agent."""
        self._released.set()

    def _dialled(self, peer: str, to: tuple[str, int]) -> Any:
        assert self._outside is not None
        entrance = self.entrances.get(to[0])
        if entrance is not None:
            return entrance.enter(peer, to)
        address, _, port = peer.rpartition(":")
        return self._outside.take((address, int(port)), *to, carrier=self.path)

    def _answer(self, query: bytes, udp: bool) -> bytes | None:
        assert self._outside is not None
        # The proxy asks here as well: what it was told is remembered, in case it becomes untrue.
        self._outside.answer(query, udp=udp, view="far")
        answer = self._outside.answer(query, udp=udp)
        if self.heard is not None:
            tell(self.heard, query, answer)
        return answer

"""The pods of a run that stand for egress gateways; they outlive a contract, as test pods do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_egress.backends.cluster.api import ApiError
from pytest_egress.backends.cluster.entrance import Entrance
from pytest_egress.backends.cluster.gateway_pod import account_of, gateway_pod
from pytest_egress.backends.cluster.gateways import ClusterGateway
from pytest_egress.backends.cluster.proxy import SidecarProxy
from pytest_egress.backends.cluster.reading import Reading
from pytest_egress.errors import BackendError

if TYPE_CHECKING:
    from pytest_egress.backends.cluster.layout import Layout
    from pytest_egress.backends.cluster.maker import PodMaker
    from pytest_egress.backends.cluster.pod import Injected
    from pytest_egress.backends.cluster.progress import Say
    from pytest_egress.contract.kubernetes.registry import GatewayWorkload
    from pytest_egress.envoy.gateway.program import GatewayProgram
    from pytest_egress.upstream import Outside

__all__ = ["GatewayPods"]

_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class _Standing:
    """A pod that stands for a gateway: whose, its proxy, the way into it, its address."""

    gateway: GatewayWorkload
    proxy: SidecarProxy
    entrance: Entrance
    address: str


class GatewayPods:
    """Those that there are.

    Args:
        maker: makes pods.
        outside: the simulated one.
        image: of the agent's container.
        live: the real outside is asked.
        timeout: seconds that a contract may take to be there.
        say: tells what is being waited for.
    """

    def __init__(
        self,
        maker: PodMaker,
        outside: Outside,
        *,
        image: str,
        live: bool,
        timeout: float,
        say: Say,
    ) -> None:
        self._maker = maker
        self._outside = outside
        self._image = image
        self._live = live
        self._timeout = timeout
        self._say = say
        self._standing: dict[object, _Standing] = {}
        self._lost: dict[object, BackendError] = {}  # pods that did not come up
        self._made = 0

    @property
    def spaces(self) -> set[str]:
        """The namespaces of the cluster that they are in."""
        return {it.proxy.pod.namespace for it in self._standing.values()}

    @property
    def proxies(self) -> list[SidecarProxy]:
        """Their proxies."""
        return [it.proxy for it in self._standing.values()]

    @property
    def entrances(self) -> dict[str, Entrance]:
        """The way into each, by its address."""
        return {it.address: it.entrance for it in self._standing.values()}

    def stand_for(
        self,
        compiled: Iterable[GatewayProgram],
        files: Mapping[str, bytes],
        layout: Layout,
        before: Callable[[Iterable[str]], None],
    ) -> list[ClusterGateway]:
        """The gateways of a contract, each with a pod.

        Args:
            compiled: what istiod makes of the contract for each.
            files: that their proxies have, by their paths.
            layout: how namespaces are called in the cluster.
            before: called with the namespaces in which pods are about to be made.

        Raises:
            BackendError: a pod does not come up.
        """
        wanted = {_key(it.workload, files): it for it in compiled}
        for key, error in self._lost.items():
            if key in wanted:
                # What the cluster could not do is not waited for again.
                raise BackendError(error.tried, error.output, error.next_step)
        self._retire(wanted)
        missing = [key for key in wanted if key not in self._standing]
        if missing:
            before({layout.name(wanted[key].workload.namespace) for key in missing})
        for key in missing:
            self._standing[key] = self._make(key, wanted[key], files, layout)
        found = []
        for key, program in wanted.items():
            pod = self._standing[key]
            found.append(ClusterGateway(program, pod.proxy, pod.entrance, pod.address))
        return found

    def bring_up(
        self,
        gateways: Iterable[ClusterGateway],
        generation: int,
        namespaces: Mapping[str, str],
    ) -> None:
        """Return once each of ``gateways`` has what was applied last.

        Args:
            gateways: of the contract that was applied.
            generation: the step of applying.
            namespaces: those of the contract by their names in the cluster.

        Raises:
            BackendError: one has not in time.
        """
        for gateway in gateways:
            proxy = gateway.proxy
            if proxy.generation == generation and not proxy.control_failure:
                continue
            proxy.generation = generation
            proxy.wait(self._timeout)
            listeners = proxy.pod.admin.listeners()
            proxy.reading.use(gateway.program, listeners, namespaces)
            ports = (it.rpartition("_")[2] for it in listeners)
            gateway.entrance.ports = frozenset(int(it) for it in ports if it.isdecimal())
            gateway.entrance.cut()

    def lost(self) -> bool:
        """Whether one of them is no longer there.

        Raises:
            ApiError: the cluster does not tell.
        """
        suspects = [it for it in self.proxies if it.control_failure and it.generation]
        return not all(it.pod.exists() for it in suspects)

    def forget(self) -> None:
        """Let go of all of them."""
        for it in self._standing.values():
            it.proxy.pod.close()
        self._standing.clear()

    def _retire(self, wanted: Mapping[object, GatewayProgram]) -> None:
        """Remove the pods of other gateways that a Service of the contract would select, too."""
        services = [it for program in wanted.values() for it in program.workload.services]
        for key, it in list(self._standing.items()):
            labels = it.gateway.labels.items()
            if key not in wanted and any(
                service.metadata.namespace == it.gateway.namespace
                and service.selector.items() <= labels
                for service in services
            ):
                self._maker.remove(it.proxy.pod)
                del self._standing[key]

    def _make(
        self,
        key: object,
        compiled: GatewayProgram,
        files: Mapping[str, bytes],
        layout: Layout,
    ) -> _Standing:
        from pytest_egress.backends.ownership import labels

        gateway = compiled.workload
        space = layout.name(gateway.namespace)
        name = f"gateway-{self._made}"
        self._made += 1

        def body(
            simulated: Injected | None, istiod: Mapping[str, str], server: str
        ) -> dict[str, Any]:
            return gateway_pod(
                name,
                space,
                gateway,
                layout.prefix,
                image=self._image,
                labels=labels(),
                simulated=simulated,
                istiod=istiod,
                name_server=server,
                files=files,
            )

        reading = Reading(compiled.program)
        try:
            self._maker.account(space, account_of(gateway))
            pod = self._maker.make(name, space, body, reading, files=files, gateway=True)
            address = pod.address(self._timeout)
        except BackendError as error:
            if not isinstance(error, ApiError):
                self._lost[key] = error
            raise
        proxy = SidecarProxy(
            pod, reading, self._outside, self._say, live=self._live, control=_LOOPBACK
        )
        return _Standing(gateway, proxy, Entrance(pod.agent), address)


def _key(gateway: GatewayWorkload, files: Mapping[str, bytes]) -> object:
    """What two gateways share that one pod may stand for."""
    pod = gateway.pods[0]
    return (
        gateway.namespace,
        frozenset(gateway.labels.items()),
        account_of(gateway),
        frozenset(pod.ports.items()),
        frozenset(files.items()),
    )

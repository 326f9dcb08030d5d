"""Contracts enforced by an Istio of the run's own, in a kind cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_egress.backends.cluster.backend import ClusterBackend
from pytest_egress.backends.cluster.progress import told
from pytest_egress.backends.kind.cluster import KindCluster, Wanted, remove
from pytest_egress.backends.kind.istio import Istio
from pytest_egress.backends.kind.lease import Lease, leases
from pytest_egress.backends.ownership import Leftover, Owner, abandoned
from pytest_egress.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_egress.backends.cluster.api import Api
    from pytest_egress.backends.registry import Get

__all__ = ["KindBackend", "create", "leftovers"]


class KindBackend(ClusterBackend):
    """As the backend cluster, on a cluster that is made on first use.

    Args:
        wanted: which cluster.
        settings: of `ClusterBackend`.
    """

    name = "kind"

    def __init__(self, wanted: Wanted, **settings: Any) -> None:
        super().__init__(None, pod_image=wanted.pod_image, keep=wanted.keep, **settings)
        self._wanted = wanted
        self._cluster: KindCluster | None = None
        self._failure: BackendError | None = None
        self._brought: set[str] = set()

    def describe(self) -> str:
        """One line for pytest's header."""
        live = ", live" if self.live else ""
        return f"kind (cluster {self._wanted.name}{live})"

    def close(self) -> None:
        """Remove the run's namespaces, and the cluster if nobody else uses it. Twice is once.

        Raises:
            BackendError: something of it stays.
        """
        with self._lock:
            cluster, self._cluster = self._cluster, None
        left: BackendError | None = None
        try:
            super().close()
        except BackendError as error:
            left = error
        finally:
            removed = cluster is not None and cluster.leave()
            self._api = None
        if left is not None and not removed:  # with the cluster its namespaces have gone
            raise left

    def _bring(self, image: str) -> None:
        """Give the nodes an image that this machine has."""
        with self._lock:
            if self._cluster is not None and image not in self._brought:
                self._cluster.load([image])
                self._brought.add(image)

    def _connect(self) -> Api:
        with self._lock:
            if self._failure is not None:  # it is not waited for again
                told = self._failure
                raise BackendError(told.tried, told.output, told.next_step)
            if self._cluster is None:
                self._sweep()
                directory = self.directory().subdirectory("k")
                self._cluster = KindCluster(self._wanted, directory, self.say)
            try:
                return self._cluster.enter()
            except BackendError as error:
                self._failure = error
                raise

    def _sweep(self) -> None:
        """Remove the clusters of dead runs; the one that is wanted is taken over."""
        for leftover in abandoned(leftovers(lambda _name: "")):
            if leftover.name != self._wanted.name:
                try:
                    leftover.remove()
                except BackendError as error:  # it is no reason against another cluster
                    self.say(str(error))


def create(get: Get) -> KindBackend:
    """The backend that the settings ask for."""
    wanted = Wanted(
        name=get("cluster-name"),
        reuse=get("reuse"),
        keep=get("keep"),
        config=get("kind-config"),
        image=get("kind-image"),
        istio=Istio(get("istio-version"), get("istio-values"), get("istio-manifest")),
        pod_image=get("pod-image"),
    )
    return KindBackend(
        wanted,
        pods=get("pods"),
        service_account=get("service-account"),
        revision=get("istio-revision"),
        live=get("live"),
        pod_root=get("pod-root"),
        timeout=get("cluster-timeout"),
    )


def leftovers(_: Get) -> list[Leftover]:
    """The clusters that runs of this user have made and that are there.

    Left out is one that is in use although the process that has made it is gone: whoever uses it
    last removes it.
    """
    found = []
    for lease in leases():
        record = lease.record
        owner = Owner.of({key: str(value) for key, value in record.items()})
        if lease.in_use() and (owner is None or owner.alive() is False):
            continue
        kept = bool(record.get("keep"))
        found.append(Leftover("kind cluster", lease.name, owner, kept, _remover(lease)))
    return found


def _remover(lease: Lease) -> Callable[[], object]:
    def remover() -> None:
        with lease.making(told):
            if lease.in_use():
                raise BackendError(f"the kind cluster {lease.name} is in use")
            remove(lease.name, told, half_made=True)
            lease.forget()

    return remover

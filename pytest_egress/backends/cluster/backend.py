"""Contracts enforced by the Istio of a cluster, in namespaces of the run's own."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING

from pytest_egress.backends.cluster.api import Api
from pytest_egress.backends.cluster.named import api_of
from pytest_egress.backends.cluster.place import Place
from pytest_egress.backends.cluster.progress import Say, told
from pytest_egress.backends.private import PrivateDirectory
from pytest_egress.errors import CapabilityError, ContractError

if TYPE_CHECKING:
    from pytest_egress.backends.cluster.deployed import Deployed
    from pytest_egress.backends.cluster.mesh import ClusterMesh
    from pytest_egress.backends.protocol import Capability
    from pytest_egress.backends.registry import Get
    from pytest_egress.backends.spread import Spread
    from pytest_egress.contract.contract import Contract
    from pytest_egress.contract.resources import Workload
    from pytest_egress.upstream import Outside, Upstreams

__all__ = ["ClusterBackend", "create"]


class ClusterBackend:
    """Applies contracts to a cluster and probes from test pods there.

    Args:
        api: of the cluster; None: a subclass connects.
        pod_image: of the test pod's container: Python 3.10 or newer.
        pods: test pods of each workload; of one that is named by ``source`` it is always one.
        service_account: of the test pod.
        revision: of Istio, as its injector knows it; empty: the default one.
        live: ask the real outside in place of the simulated one.
        pod_root: the directory that stands for the pod's root.
        keep: leave the namespaces of the run.
        apply: contracts are applied, in namespaces of the run's own; else the cluster is taken as
            it is, and only test pods are made.
        source: the workload that probes start from, in place of a test pod: ``deploy/NAME``. Then
            nothing is applied, and the real outside is asked.
        timeout: seconds that a test pod, or a contract, may take to be there.
        say: tells what is being waited for.
    """

    name = "cluster"

    def __init__(
        self,
        api: Api | None,
        *,
        pod_image: str,
        pods: int = 1,
        service_account: str = "default",
        revision: str = "",
        live: bool = False,
        pod_root: str = "/",
        keep: bool = False,
        apply: bool = True,
        source: str = "",
        timeout: float = 120.0,
        say: Say = told,
    ) -> None:
        self._api = api
        self.live = live or bool(source)
        self._source = source
        self.pod_root = pod_root
        self.keep = keep
        self.applies = apply and not source
        self.pods = 1 if source else pods
        self._asked_pods = pods
        self.timeout = timeout
        self.say = say
        self._pod_image = pod_image
        self._service_account = service_account
        self._revision = revision
        self._lock = threading.RLock()
        self._private: PrivateDirectory | None = None
        self._outside: Outside | None = None
        self._declared: Contract | None = None
        self._checked: tuple[Contract, str] | None = None  # the last, and who asked
        self._place: Place | Deployed | None = None

    @property
    def api(self) -> Api:
        """The cluster.

        Raises:
            BackendError: it cannot be made.
        """
        with self._lock:
            if self._api is None:
                self._api = self._connect()
            return self._api

    def _connect(self) -> Api:
        raise NotImplementedError

    @property
    def lacking(self) -> Mapping[Capability, str]:
        """What this backend cannot do, and why."""
        lacking: dict[Capability, str] = {}
        if self._source:
            lacking["pod-run"] = "no container of yours is added to a pod of --egress-from"
        if self.live:
            lacking["simulate"] = "the real outside is asked (--egress-live)"
        else:
            lacking["live"] = "the outside is simulated: run with --egress-live"
            if not self.applies:
                lacking["gateways"] = (
                    "as deployed, the mesh's own gateway does not lead to the simulated outside: "
                    "run with --egress-live"
                )
        return lacking

    @property
    def outside(self) -> Outside:
        """The simulated outside, started on first use."""
        from pytest_egress.upstream import Outside

        with self._lock:
            if self._outside is None:
                self._outside = Outside(self.directory().subdirectory("o"))
                self._outside.start()
                self._outside.warm_up()
            return self._outside

    def describe(self) -> str:
        """One line for pytest's header."""
        live = ", live" if self.live else ""
        live += "" if self.applies else ", as deployed"
        if self.pods != self._asked_pods:
            live += f"; egress_pods={self._asked_pods} has no effect beside egress_from"
        return f"{self.name} (context {self.api.context or 'current'}{live})"

    def prepare(self) -> None:
        """Nothing: a cluster is asked when a contract is to be enforced."""

    def enforce(self, contract: Contract, workload: Workload) -> ClusterMesh | Spread[ClusterMesh]:
        """Return once the sidecar of the workload's test pod has applied ``contract``.

        Raises:
            BackendError: the cluster cannot do it; with what it says.
            CapabilityError: the contract leads through an egress gateway of the mesh's own.
            ContractError: it holds what has no meaning in namespaces of its own.
        """
        with self._lock:
            self._refuse(contract, workload.namespace)
            if contract is not self._declared:
                from pytest_egress.backends.declaring import declare

                declare(self.outside, contract)
                self._declared = contract
            return self.place().enforce(contract, workload)

    def upstreams(self) -> Upstreams:
        """A handle to script the outside with; its scripts end when it is left."""
        from pytest_egress.upstream import Upstreams

        return Upstreams(None if self.live else self.outside, self.name)

    def reset(self) -> None:
        """Drop every script of the outside, and all that it has seen."""
        if self._outside is not None:
            self._outside.reset()

    def close(self) -> None:
        """Remove the run's namespaces, stop the outside. Twice is once.

        Raises:
            BackendError: the cluster does not remove them; with their names.
        """
        with self._lock:
            place, self._place = self._place, None
            outside, self._outside = self._outside, None
            private, self._private = self._private, None
        with ExitStack() as stack:  # one that fails keeps none of the others
            if private is not None:
                stack.callback(private.close)
            if outside is not None:
                stack.callback(outside.stop)
            if place is not None:
                place.close()

    def place(self) -> Place | Deployed:
        """The run's own part of the cluster, begun on first use.

        Raises:
            BackendError: the cluster cannot be used.
        """
        with self._lock:
            if self._place is None and not self.applies:
                from pytest_egress.backends.cluster.deployed import Deployed

                self._place = Deployed(
                    self.api,
                    self.outside,
                    self.directory(),
                    pod_image=self._pod_image,
                    pods=self.pods,
                    service_account=self._service_account,
                    live=self.live,
                    pod_root=self.pod_root,
                    keep=self.keep,
                    timeout=self.timeout,
                    say=self.say,
                    bring=self._bring,
                    source=self._source,
                )
            if self._place is None:
                self._place = Place(
                    self.api,
                    f"egress-{secrets.token_hex(4)}",
                    self.outside,
                    self.directory(),
                    pod_image=self._pod_image,
                    pods=self.pods,
                    service_account=self._service_account,
                    revision=self._revision,
                    live=self.live,
                    pod_root=self.pod_root,
                    keep=self.keep,
                    timeout=self.timeout,
                    say=self.say,
                    bring=self._bring,
                )
            return self._place

    def _bring(self, image: str) -> None:
        """Nothing: a cluster's nodes have their images, or pull them."""

    def directory(self) -> PrivateDirectory:
        """The private directory of the run."""
        with self._lock:
            if self._private is None:
                self._private = PrivateDirectory()
            return self._private

    def _refuse(self, contract: Contract, namespace: str) -> None:
        """Return if a contract can be enforced for workloads of a namespace.

        Raises:
            CapabilityError: it leads through an egress gateway that cannot be seen through.
            ContractError: it holds what has no meaning, or another one, in namespaces of its own.
        """
        known, asked = self._checked or (None, "")
        if known is contract and asked == namespace:
            return
        if self.applies:
            from pytest_egress.backends.cluster import certificates
            from pytest_egress.backends.cluster.layout import refusals
            from pytest_egress.contract.pod_files import check_pod_files

            problems = refusals(contract, namespace)
            problems.extend(certificates.refusals(contract, live=self.live))
            problems.extend(check_pod_files(contract, self.pod_root))
            if problems:
                raise ContractError(problems)
        elif "gateways" in self.lacking and contract.speaks_of_services:
            from pytest_egress.contract.kubernetes.registry import gateway_workloads

            if gateway_workloads(contract):
                raise CapabilityError(self.name, "gateways", self.lacking["gateways"])
        self._checked = (contract, namespace)


def create(get: Get) -> ClusterBackend:
    """The backend that the settings ask for."""
    return ClusterBackend(
        api_of(get),
        pod_image=get("pod-image"),
        pods=get("pods"),
        service_account=get("service-account"),
        revision=get("istio-revision"),
        live=get("live"),
        pod_root=get("pod-root"),
        keep=get("keep"),
        apply=not get("no-apply"),
        source=get("from"),
        timeout=get("cluster-timeout"),
    )

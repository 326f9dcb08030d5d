"""What a run makes in its namespaces for a contract's TLS: see `certificates`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_egress.backends.cluster.api import Api
from pytest_egress.backends.cluster.certificates import Simulated, credentials, files_of, secret
from pytest_egress.errors import BackendError

if TYPE_CHECKING:
    from pytest_egress.backends.cluster.applied import Applied
    from pytest_egress.backends.cluster.testpod import TestPod
    from pytest_egress.contract.contract import Contract
    from pytest_egress.contract.resources import Workload
    from pytest_egress.upstream import Outside

__all__ = ["Serving"]


class Serving:
    """Brings certificates to test pods and to istiod.

    Args:
        api: of the cluster.
        outside: the simulated one; in a live run it is not asked.
        pod_root: the directory that stands for the pod's root.
        live: the real outside is asked.
    """

    def __init__(self, api: Api, outside: Outside, pod_root: str, *, live: bool) -> None:
        self._api = api
        self._outside = outside
        self._pod_root = pod_root
        self._live = live
        self._there: set[tuple[str, str, str]] = set()

    def files(self, contract: Contract, *, gateway: bool = False) -> dict[str, bytes]:
        """The files that a sidecar, or a gateway, needs for a contract, by their paths there.

        Raises:
            BackendError: one is gone.
        """
        if not contract.destination_rules and not (gateway and contract.gateways):
            return {}
        outside = self._outside
        simulated = None
        if not self._live:
            simulated = Simulated(outside.ca_file.read_bytes(), lambda: outside.revoked_pem)
        try:
            return files_of(contract, self._pod_root, simulated, gateway=gateway)
        except OSError as error:
            tried = "a file that the contract names cannot be read"
            raise BackendError(tried, str(error)) from None

    def serve(self, contract: Contract, workload: Workload, applied: Applied) -> None:
        """Stand in for the Secrets and ConfigMaps that a contract has istiod serve.

        Raises:
            BackendError: rights are missing, or the cluster refuses it.
        """
        if self._live or not contract.destination_rules:
            return
        authority = self._outside.ca_file.read_bytes()
        for plural, body in credentials(contract, workload.namespace, authority):
            space = applied.layout.name(body["metadata"]["namespace"])
            name = str(body["metadata"]["name"])
            if (plural, space, name) not in self._there:
                applied.make_namespaces([space])
                self._create(plural, {**body, "metadata": {"name": name, "namespace": space}})
                self._there.add((plural, space, name))

    def keep(self, pod: TestPod) -> None:
        """Make the Secret with a pod's files, before the pod.

        Raises:
            BackendError: rights are missing, or the cluster refuses it.
        """
        if pod.files:
            self._create("secrets", secret(pod.name, pod.namespace, pod.files))

    def forget(self) -> None:
        """Nothing of it is there any more."""
        self._there.clear()

    def _create(self, plural: str, body: dict[str, Any]) -> None:
        from pytest_egress.backends.cluster.rbac import check_extra

        space, name = body["metadata"]["namespace"], body["metadata"]["name"]
        if plural == "secrets":
            check_extra(self._api.may, "certificates", space, context=self._api.context)
        doing = f"make the {body['kind']} {space}/{name}"
        self._api.create(f"/api/v1/namespaces/{space}/{plural}", body, doing)

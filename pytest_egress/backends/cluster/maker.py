"""Makes the pods of a run in its own namespaces: test pods, and those of egress gateways."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pytest_egress.backends.cluster.api import Api, ApiError, istio_path
from pytest_egress.backends.cluster.facts import istiod_addresses, name_server
from pytest_egress.backends.cluster.pod import Injected, bootstrap, injected, witness_filter
from pytest_egress.backends.cluster.progress import Say, until
from pytest_egress.backends.cluster.testpod import TestPod
from pytest_egress.errors import BackendError

if TYPE_CHECKING:
    from pytest_egress.backends.cluster.keeper import Images
    from pytest_egress.backends.cluster.reading import Reading
    from pytest_egress.backends.private import PrivateDirectory
    from pytest_egress.upstream import Outside

__all__ = ["PodBody", "PodMaker"]

#: Gives a pod: what the injector makes of it (None: not known yet, or a live run), the addresses of
#: istiod's names, the cluster's name server.
PodBody = Callable[["Injected | None", Mapping[str, str], str], dict[str, Any]]


class PodMaker:
    """Makes pods, each with what its proxy needs to report to the test.

    Args:
        api: of the cluster.
        outside: the simulated one; in a live run it is not asked.
        directory: private to the run.
        keep: called with each pod before it is there: makes what its files are in.
        images: how images of a user's are brought into its test pods.
        live: the real outside is asked.
        timeout: seconds that a pod may take to be there.
        say: tells what is being waited for.
    """

    def __init__(
        self,
        api: Api,
        outside: Outside,
        directory: PrivateDirectory,
        *,
        keep: Callable[[TestPod], None],
        images: Images,
        live: bool,
        timeout: float,
        say: Say,
    ) -> None:
        self._api = api
        self._outside = outside
        self._directory = directory
        self._keep = keep
        self._images = images
        self._live = live
        self._lock = threading.Lock()
        self._timeout = timeout
        self._say = say
        self._name_server: str | None = None

    def make(
        self,
        name: str,
        space: str,
        body: PodBody,
        reading: Reading,
        *,
        files: Mapping[str, bytes] | None = None,
        gateway: bool = False,
    ) -> TestPod:
        """Return a pod once its agent has answered.

        Args:
            name: its name.
            space: its namespace in the cluster.
            body: gives the object; its service account is there (`account`).
            reading: turns its proxy's records into evidence.
            files: that its proxy has, by their paths.
            gateway: whether its proxy is a gateway's.

        Raises:
            BackendError: the cluster cannot do it.
        """
        pod = TestPod(
            self._api,
            space,
            name,
            self._directory.subdirectory("p"),
            reading,
            None if self._live else self._outside,
            "" if self._live else self._server(),
            self._say,
            images=None if gateway else self._images,
            files=files,
        )
        try:
            self._keep(pod)
            self._create(name, space, body, gateway=gateway)
            pod.start(self._timeout)
        except BaseException:
            pod.close()
            raise
        return pod

    def account(self, space: str, account: str) -> None:
        """Have a service account; a new namespace gets the default one after a moment.

        Raises:
            BackendError: it cannot be made, or does not come.
        """
        doing = f"make a pod in {space}"
        accounts = f"/api/v1/namespaces/{space}/serviceaccounts"
        if account != "default":
            metadata = {"name": account, "namespace": space}
            made = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}
            try:
                self._api.create(accounts, made, doing)
            except ApiError as error:
                if error.status != 409:  # another one's pods have it as well
                    raise

        def missing() -> str:
            try:
                self._api.get(f"{accounts}/{account}", doing)
            except ApiError as error:
                if error.status == 404:
                    return "its service account is not there"
                raise
            return ""

        what = "waiting for a service account"
        failure = until(missing, self._timeout, what, self._say, interval=0.05)
        if failure:
            raise BackendError(f"cannot {doing}: {failure}")

    def remove(self, pod: TestPod) -> None:
        """End a pod that is not needed any more.

        Raises:
            ApiError: the cluster refuses.
        """
        pod.close()
        self._api.delete(pod.path, f"remove the pod {pod.namespace}/{pod.name}")

    def _create(self, name: str, space: str, body: PodBody, *, gateway: bool) -> None:
        doing = f"make the pod {space}/{name}"
        pods = f"/api/v1/namespaces/{space}/pods"
        trusted = "" if self._live else self._outside.ca_file.read_text()
        settings = bootstrap(name, space, trusted)
        self._api.create(f"/api/v1/namespaces/{space}/configmaps", settings, doing)
        self._api.create(
            istio_path(space, "envoyfilters", version="v1alpha3"),
            witness_filter(name, space, gateway=gateway),
            doing,
        )
        seen = injected(self._api.create(pods, body(None, {}, ""), doing, dryRun="All"))
        if self._live:
            self._api.create(pods, body(None, {}, ""), doing)
            return
        istiod = istiod_addresses(self._api, seen)
        self._api.create(pods, body(seen, istiod, self._server()), doing)

    def _server(self) -> str:
        with self._lock:
            if self._name_server is None:
                self._name_server = name_server(self._api)
            return self._name_server

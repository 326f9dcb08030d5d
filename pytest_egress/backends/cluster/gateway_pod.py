"""The pod of an egress gateway in a run's own namespaces; pure functions.

Its proxy is Istio's own, by the injector's template for gateways. Beside it is the agent, as in a
test pod: in simulation it stands for the outside, and it lets the sidecars' connections in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pytest_egress.backends.cluster.layout import CONTROL_LABEL
from pytest_egress.backends.cluster.pod import (
    PROXY,
    USER_VOLUME,
    USER_VOLUME_MOUNT,
    Injected,
    Json,
    pod_of,
)
from pytest_egress.backends.cluster.renaming import RUN_LABEL, Renaming
from pytest_egress.contract.resources import Workload

if TYPE_CHECKING:
    from pytest_egress.contract.kubernetes.registry import GatewayWorkload

__all__ = ["account_of", "gateway_pod"]

_TEMPLATES = "inject.istio.io/templates"


def account_of(gateway: GatewayWorkload) -> str:
    """The service account of a gateway's pods."""
    return gateway.pods[0].service_account or "default"


def gateway_pod(
    name: str,
    namespace: str,
    gateway: GatewayWorkload,
    prefix: str,
    *,
    image: str,
    labels: Mapping[str, str],
    simulated: Injected | None = None,
    istiod: Mapping[str, str] | None = None,
    name_server: str = "",
    files: Mapping[str, bytes] | None = None,
) -> Json:
    """The one pod that stands for those of a gateway.

    Args:
        name: its name.
        namespace: in the cluster.
        gateway: whose labels, account and named ports it has.
        prefix: the run's own, of names in the cluster.
        image: of the agent's container.
        labels: that say whose it is.
        simulated: as of a test pod.
        istiod: as of a test pod.
        name_server: as of a test pod.
        files: as of a test pod.
    """
    pod = pod_of(
        name,
        namespace,
        Workload(gateway.namespace, Renaming(prefix).labels(gateway.labels)),
        image=image,
        service_account=account_of(gateway),
        labels={**labels, RUN_LABEL: prefix, CONTROL_LABEL: namespace},
        simulated=simulated,
        istiod=istiod,
        name_server=name_server,
        files=files,
    )
    annotations, spec = pod["metadata"]["annotations"], pod["spec"]
    annotations[_TEMPLATES] = "gateway"
    ports = [
        {"name": port, "containerPort": number, "protocol": "TCP"}
        for port, number in gateway.pods[0].ports.items()
    ]
    # The injector gives the image. Of one without a tag the API server would have it pulled anew.
    proxy: Json = {
        "name": PROXY,
        "image": "auto",
        "imagePullPolicy": "IfNotPresent",
        "ports": ports,
    }
    # The template for gateways does not read the annotations that a sidecar's does.
    volumes = json.loads(annotations.pop(USER_VOLUME, "{}"))
    places = json.loads(annotations.pop(USER_VOLUME_MOUNT, "{}"))
    proxy["volumeMounts"] = [{"name": it, **place} for it, place in places.items()]
    spec.setdefault("volumes", []).extend({"name": it, **source} for it, source in volumes.items())
    spec["containers"].append(proxy)
    return pod

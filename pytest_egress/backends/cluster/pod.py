"""The objects of a test pod, and what is read from them; pure functions.

The proxy is Istio's own, injected as into any pod. Its configuration is istiod's but for access
loggers, which an EnvoyFilter for this one pod adds: each record reaches the test the moment it is
made. In simulation, netfilter rules lead whatever the proxy dials into the agent, which stands for
the outside, and drop what would leave the pod otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pytest_egress.backends.cluster.certificates import mounts
from pytest_egress.backends.cluster.redirect import (
    RULES,
    redirect,
    redirecting,
    rules,
    rules_volume,
)
from pytest_egress.contract.resources import Workload
from pytest_egress.envoy.instruments import (
    REMEMBER_SOURCE,
    WITNESS_CLUSTER,
    opened_log,
    sidecar_access_log,
)
from pytest_egress.errors import BackendError

__all__ = [
    "CONTAINER",
    "HELD_PORT",
    "PROXY",
    "USER_VOLUME",
    "USER_VOLUME_MOUNT",
    "WITNESS_PORT",
    "Injected",
    "bootstrap",
    "injected",
    "namespace",
    "pod_of",
    "witness_filter",
]

Json = dict[str, Any]

CONTAINER = "egress-test"
PROXY = "istio-proxy"
WITNESS_PORT = 15096
#: Where the agent listens once it serves names: a proxy that is held starts then.
HELD_PORT = 15097
_HELD_TIMEOUT = 30.0  # seconds that a proxy is held at most
_HOLD = """
import socket, time
end = time.monotonic() + {timeout}
while time.monotonic() < end:
    try:
        socket.create_connection(("127.0.0.1", {port}), 1).close()
        break
    except OSError:
        time.sleep(0.02)
"""
_POD_LABEL = "pytest-egress/pod"
_CA = "ca.pem"
#: Annotations of the sidecar's injector: volumes, and where the sidecar has them.
USER_VOLUME, USER_VOLUME_MOUNT = "sidecar.istio.io/userVolume", "sidecar.istio.io/userVolumeMount"
_TRUSTED = "pytest-egress/trusted"
#: Where Istio's agent looks first for the CAs of its system, whichever that is.
_SYSTEM_CAS = "/etc/ssl/certs/ca-certificates.crt"
_READ_ONLY = {"readOnly": True}
_HCM = "envoy.filters.network.http_connection_manager"
_TCP = "envoy.filters.network.tcp_proxy"
_TCP_TYPE = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
_HCM_TYPE = (
    "type.googleapis.com/envoy.extensions.filters.network."
    "http_connection_manager.v3.HttpConnectionManager"
)


@dataclass(frozen=True, slots=True)
class Injected:
    """What the injector made of a pod.

    Attributes:
        image: the proxy's.
        discovery: host and port of istiod.
        dns_capture: whether Istio's agent resolves the pod's names.
        last: whether the proxy starts after the pod's other containers.
    """

    image: str
    discovery: tuple[str, int]
    dns_capture: bool
    last: bool = True


def namespace(name: str, labels: Mapping[str, str], revision: str) -> Json:
    """A namespace whose pods have the sidecar of a revision; empty: of the default one."""
    injection = {"istio.io/rev": revision} if revision else {"istio-injection": "enabled"}
    # The redirect needs NET_ADMIN, as istio-init does.
    security = {"pod-security.kubernetes.io/enforce": "privileged"}
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {**labels, **injection, **security}},
    }


def pod_of(
    name: str,
    namespace: str,
    workload: Workload,
    *,
    image: str,
    service_account: str,
    labels: Mapping[str, str],
    simulated: Injected | None = None,
    istiod: Mapping[str, str] | None = None,
    name_server: str = "",
    trusted: str = "",
    files: Mapping[str, bytes] | None = None,
    held: bool = False,
) -> Json:
    """The test pod.

    Args:
        name: its name.
        namespace: in the cluster.
        workload: whose labels it has.
        image: of the container that probes start from: Python 3.10 or newer, root.
        service_account: the one that it has.
        labels: that say whose it is.
        simulated: what the injector makes of it; None: that is not known yet, or the real outside
            is asked.
        istiod: the addresses of istiod's names, in simulation.
        name_server: the cluster's, in simulation; empty: it is not asked.
        trusted: the CA of the simulated outside (PEM), for a pod without a ConfigMap of its own
            and without loggers of ours; empty: it has both.
        files: that the sidecar has, by their paths; they are in a Secret (`certificates.secret`).
        held: the proxy starts only when the agent serves names; where it starts last.
    """
    proxy = {"ISTIO_META_DNS_CAPTURE": "true" if workload.dns_capture else "false"}
    if simulated is not None:
        # Else the proxy's agent asks for it at addresses that are the simulated outside's here.
        proxy["CLOUD_PLATFORM"] = "none"
    metadata: Json = {
        "name": name,
        "namespace": namespace,
        "labels": {
            **workload.labels,
            **labels,
            _POD_LABEL: name,
            "sidecar.istio.io/inject": "true",
        },
        "annotations": {
            "proxy.istio.io/config": json.dumps(
                {
                    "holdApplicationUntilProxyStarts": False,
                    "proxyMetadata": proxy,
                }
            ),
            # The proxy starts beside the agent, not before it: whether it is ready it is asked.
            "sidecar.istio.io/nativeSidecar": "false",
        },
    }
    if not trusted:
        metadata["annotations"]["sidecar.istio.io/bootstrapOverride"] = f"{name}-bootstrap"
    spec: Json = {
        "serviceAccountName": service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 1,
        "restartPolicy": "Always",
        "containers": [
            {
                "name": CONTAINER,
                "image": image,
                "imagePullPolicy": "IfNotPresent",
                "command": ["sleep", "2147483647"],
            }
        ],
    }
    volumes, places = mounts(name, files or {})
    if simulated is not None:
        addresses = dict(istiod or {})
        if trusted:
            metadata["annotations"][_TRUSTED] = trusted
        if _SYSTEM_CAS not in (files or {}):
            volumes |= {"egress-trusted": _authority(name, own=bool(trusted))}
            places |= {"egress-trusted": {"mountPath": _SYSTEM_CAS, "subPath": _CA, **_READ_ONLY}}
        metadata["annotations"][RULES] = rules(
            addresses.values(), simulated.discovery[1], name_server
        )
        spec |= {
            "dnsPolicy": "None",
            "dnsConfig": {
                "nameservers": ["127.0.0.1"],
                "options": [{"name": "ndots", "value": "1"}],
            },
            # The proxy starts before there is an agent that resolves names.
            "hostAliases": [{"ip": ip, "hostnames": [host]} for host, ip in addresses.items()],
            "volumes": [rules_volume()],
        }
        if simulated.last:
            if held:
                hold = _HOLD.format(timeout=_HELD_TIMEOUT, port=HELD_PORT)
                hook = {"exec": {"command": ["python3", "-I", "-c", hold]}}
                # The kubelet waits for it before it starts the next container.
                spec["containers"][0]["lifecycle"] = {"postStart": hook}
            spec["containers"].append(redirecting(simulated.image))
        else:
            spec["initContainers"] = [redirect(simulated.image)]
    if volumes:
        metadata["annotations"] |= {
            USER_VOLUME: json.dumps(volumes),
            USER_VOLUME_MOUNT: json.dumps(places),
        }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def bootstrap(name: str, namespace: str, trusted: str = "") -> Json:
    """The ConfigMap that gives a pod's proxy the cluster that its records go to.

    Args:
        name: of the pod.
        namespace: of the pod.
        trusted: the CA of the simulated outside, as PEM; empty: the real one is asked.
    """
    address = {"socket_address": {"address": "127.0.0.1", "port_value": WITNESS_PORT}}
    cluster = {
        "name": WITNESS_CLUSTER,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": WITNESS_CLUSTER,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    }
    content = json.dumps({"static_resources": {"clusters": [cluster]}})
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"{name}-bootstrap", "namespace": namespace},
        "data": {"custom_bootstrap.json": content, **({_CA: trusted} if trusted else {})},
    }


def witness_filter(name: str, namespace: str, *, gateway: bool = False) -> Json:
    """The EnvoyFilter that adds access loggers to one pod's outbound listeners, or a gateway's.

    A gateway keeps the id that a request comes with, which ties its record to the sidecar's.
    """
    outbound = {"context": "GATEWAY" if gateway else "SIDECAR_OUTBOUND"}
    manager: Json = {"@type": _HCM_TYPE}
    if gateway:
        manager["preserve_external_request_id"] = True
    http = {**outbound, "listener": {"filterChain": {"filter": {"name": _HCM}}}}
    tcp = {**outbound, "listener": {"filterChain": {"filter": {"name": _TCP}}}}
    log = sidecar_access_log()
    patches = [
        ("LISTENER", outbound, "MERGE", {"access_log": [log]}),
        ("NETWORK_FILTER", http, "INSERT_BEFORE", REMEMBER_SOURCE),
        (
            "NETWORK_FILTER",
            http,
            "MERGE",
            {"typed_config": {**manager, "access_log": [log]}},
        ),
        (
            "NETWORK_FILTER",
            tcp,
            "MERGE",
            {"typed_config": {"@type": _TCP_TYPE, **opened_log(log)}},
        ),
    ]
    return {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": {"name": f"{name}-witness", "namespace": namespace},
        "spec": {
            "workloadSelector": {"labels": {_POD_LABEL: name}},
            "configPatches": [
                {
                    "applyTo": where,
                    "match": match,
                    "patch": {"operation": operation, "value": value},
                }
                for where, match, operation, value in patches
            ],
        },
    }


def injected(pod: Mapping[str, Any]) -> Injected:
    """What the injector made of a pod.

    Raises:
        BackendError: nothing, or something that is no sidecar.
    """
    spec = pod["spec"]
    containers = [*spec.get("containers", ()), *spec.get("initContainers", ())]
    proxy = next((it for it in containers if it["name"] == PROXY), None)
    if proxy is None:
        raise BackendError(
            f"pods of the namespace {pod['metadata']['namespace']} get no sidecar",
            "the API server's answer to a dry run has no container istio-proxy",
            "is Istio's sidecar injector installed and running? where Istio has a revision, name "
            "it with --egress-istio-revision; ambient mode has no sidecars and cannot be judged",
        )
    environment = {it["name"]: it.get("value", "") for it in proxy.get("env", ())}
    try:
        settings = json.loads(environment.get("PROXY_CONFIG") or "{}")
    except ValueError:
        settings = {}
    address = settings.get("discoveryAddress") or environment.get("CA_ADDR") or ""
    host, _, port = str(address).rpartition(":")
    capture = environment.get("ISTIO_META_DNS_CAPTURE") == "true"
    last = [it["name"] for it in spec.get("containers", ())][-1:] == [PROXY]
    return Injected(proxy["image"], (host, int(port or 0)), capture, last)


def _authority(name: str, *, own: bool) -> Json:
    """The volume with the outside's CA, which stands in the place of the proxy's system's.

    A proxy that originates TLS trusts those unless the contract names a file.

    Args:
        name: of the pod.
        own: the CA is in an annotation of the pod, not in its ConfigMap.
    """
    if own:
        field = {"fieldPath": f"metadata.annotations['{_TRUSTED}']"}
        return {"downwardAPI": {"items": [{"path": _CA, "fieldRef": field}]}}
    return {"configMap": {"name": f"{name}-bootstrap", "items": [{"key": _CA, "path": _CA}]}}

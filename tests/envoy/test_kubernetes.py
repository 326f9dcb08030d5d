"""Kubernetes Services in a sidecar's configuration."""

from __future__ import annotations

import pytest

from pytest_egress.contract import loads
from pytest_egress.contract.kubernetes.resource import KubernetesPort
from pytest_egress.contract.resources import Workload
from pytest_egress.envoy import Program, compile_contract
from pytest_egress.envoy.kubernetes import port_protocol
from tests.contract.kubernetes.documents import ENTRY, GATEWAY, SERVICE, documents
from tests.envoy.build import by_name, chains, names, socket

HOST = "istio-egressgateway.istio-system.svc.cluster.local"


def compiled(*texts: str) -> Program:
    """The sidecar of a pod in namespace default."""
    return compile_contract(loads(documents(*texts)), Workload())


@pytest.mark.parametrize(
    ("port", "protocol"),
    [
        (KubernetesPort(1, "http2"), "HTTP2"),
        (KubernetesPort(1, "https-web"), "HTTPS"),
        (KubernetesPort(1, "grpc-web-x"), "GRPC-Web"),
        (KubernetesPort(1, "web"), "Unsupported"),
        (KubernetesPort(3306, "web"), "TCP"),
        (KubernetesPort(1, "http", app_protocol="tcp"), "TCP"),
        (KubernetesPort(1, "tcp", app_protocol="kubernetes.io/h2c"), "HTTP2"),
        (KubernetesPort(1, "tcp", app_protocol="kubernetes.io/wss"), "HTTPS"),
        (KubernetesPort(1, "http", transport="UDP"), "UDP"),
    ],
)
def test_protocol(port: KubernetesPort, protocol: str) -> None:
    """``appProtocol`` or the name's beginning says it; well-known servers are never sniffed."""
    assert port_protocol(port) == protocol


def test_service_as_the_sidecar_sees_it() -> None:
    """A cluster to the pod for each port, HTTP on the wildcard, the rest on the cluster IP."""
    program = compiled(SERVICE, GATEWAY, ENTRY)
    assert names(program.clusters)[:2] == [f"outbound|80||{HOST}", f"outbound|443||{HOST}"]
    assert socket(by_name(program.endpoints, f"outbound|80||{HOST}")) == [("10.244.0.10", 8080)]
    assert chains(program, "10.96.0.10_443") == [({}, f"outbound|443||{HOST}")]
    host = by_name(tuple(by_name(program.routes, "80")["virtual_hosts"]), f"{HOST}:80")
    assert host["domains"] == [
        HOST,
        f"{HOST}.",
        "istio-egressgateway.istio-system",
        "istio-egressgateway.istio-system.svc",
        "10.96.0.10",
    ]


def test_gateway_takes_plain_text_unless_labelled() -> None:
    """Istio's TLS goes to endpoints that say they take it; a gateway's pods do not."""
    program = compiled(SERVICE, GATEWAY, ENTRY)
    cluster = by_name(program.clusters, f"outbound|443||{HOST}")
    assert [it["name"] for it in cluster["transport_socket_matches"]] == [
        "tlsMode-istio",
        "tlsMode-disabled",
    ]
    [group] = by_name(program.endpoints, f"outbound|443||{HOST}")["endpoints"]
    assert all("metadata" not in endpoint for endpoint in group["lb_endpoints"])


def test_kubernetes_service_beats_an_older_entry() -> None:
    """Nobody can take the host of a Service by declaring it in another namespace."""
    squatter = ENTRY.replace("api.weather.com", HOST).replace(
        "{name: weather}", "{name: w, namespace: shop, creationTimestamp: 1970-01-01T00:00:00Z}"
    )
    assert by_name(compiled(SERVICE, squatter).clusters, f"outbound|80||{HOST}")["type"] == "EDS"


def test_export_to_annotation() -> None:
    """``networking.istio.io/exportTo`` hides a Service."""
    hidden = SERVICE.replace(
        "  namespace: istio-system\n",
        "  namespace: istio-system\n  annotations: {networking.istio.io/exportTo: '.'}\n",
    )
    assert not any(HOST in name for name in names(compiled(hidden, ENTRY).clusters))


def test_headless_service() -> None:
    """Without cluster IP the pods are dialled, and their own names are hosts."""
    headless = SERVICE.replace("spec:\n", "spec:\n  clusterIP: None\n")
    program = compiled(headless, GATEWAY, ENTRY)
    assert by_name(program.clusters, f"outbound|80||{HOST}")["type"] == "ORIGINAL_DST"
    host = by_name(tuple(by_name(program.routes, "80")["virtual_hosts"]), f"{HOST}:80")
    assert f"*.{HOST}" in host["domains"]
    assert chains(program, "10.244.0.10_443") == [({}, f"outbound|443||{HOST}")]

"""What a contract with an egress gateway is on a cluster, in namespaces of the run's own."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_egress.backends.cluster.gateway_pod import gateway_pod
from pytest_egress.backends.cluster.layout import (
    CONTROL_LABEL,
    Layout,
    control_objects,
    manifests,
    refusals,
)
from pytest_egress.backends.cluster.pod import Injected
from pytest_egress.backends.cluster.renaming import RUN_LABEL, Renaming
from pytest_egress.contract import loads
from pytest_egress.contract.kubernetes.registry import gateway_workloads
from pytest_egress.contract.resources import Workload
from tests.backends.egress_gateway import (
    ENTRY,
    GATEWAY,
    HOST,
    HTTP_ROUTES,
    documents,
)
from tests.backends.egress_task import ORIGINATION, pieces

LAYOUT = Layout("egress-1")
THERE = "istio-egressgateway.egress-1-istio-system.svc.cluster.local"
SERVICE = """\
apiVersion: v1
kind: Service
metadata:
  name: istio-egressgateway
  namespace: istio-system
  labels: {team: a}
  annotations: {networking.istio.io/exportTo: "*"}
spec:
  type: LoadBalancer
  clusterIP: 10.96.7.7
  selector: {istio: egressgateway}
  ports:
  - {name: http2, port: 80, targetPort: 8080, nodePort: 30080}
"""
SEEN = Injected("istio/proxyv2:1.31.0", ("istiod.istio-system.svc", 15012), dns_capture=False)


def _applied(*texts: str) -> dict[str, dict[str, Any]]:
    placed = manifests(loads(documents(*texts)), Workload(), LAYOUT)
    return {it.path: it.body for it in placed}


def _istio(plural: str, name: str, namespace: str = "egress-1-default") -> str:
    return f"/apis/networking.istio.io/v1/namespaces/{namespace}/{plural}/{name}"


_SERVICE = "/api/v1/namespaces/egress-1-istio-system/services/istio-egressgateway"


def test_routes_lead_to_the_service_of_the_run() -> None:
    """Its namespace has another name there; what is outside of the mesh keeps its own."""
    applied = _applied(ENTRY, GATEWAY, HTTP_ROUTES)
    spec = applied[_istio("virtualservices", "http")]["spec"]
    first, second = (it["route"][0]["destination"]["host"] for it in spec["http"])
    assert (first, second) == (THERE, "api.weather.com")
    assert spec["gateways"] == ["mesh", "egress"]
    assert spec["exportTo"] == ["egress-1-default", "egress-1-istio-system"]
    assert applied[_istio("serviceentries", "weather")]["spec"]["hosts"] == ["api.weather.com"]


def test_gateways_select_pods_of_the_run_alone() -> None:
    """And Gateways of the mesh around it do not select these."""
    applied = _applied(ENTRY, GATEWAY, HTTP_ROUTES)
    selector = {"istio": "egress-1-egressgateway", RUN_LABEL: "egress-1"}
    assert applied[_istio("gateways", "egress")]["spec"]["selector"] == selector
    everyone = _applied(ENTRY, GATEWAY.replace("  selector: {istio: egressgateway}\n", ""))
    assert everyone[_istio("gateways", "egress")]["spec"]["selector"] == {RUN_LABEL: "egress-1"}


def test_service_that_is_in_no_file() -> None:
    """It is made as it is inferred, in front of the run's pod."""
    service = _applied(ENTRY, GATEWAY, HTTP_ROUTES)[_SERVICE]
    assert service["spec"]["selector"] == {
        "app": "egress-1-istio-egressgateway",
        "istio": "egress-1-egressgateway",
    }
    assert [(it["name"], it["port"]) for it in service["spec"]["ports"]] == [
        ("http2", 80),
        ("https", 443),
    ]
    exported = service["metadata"]["annotations"]["networking.istio.io/exportTo"]
    assert exported == "egress-1-default,egress-1-istio-system"


def test_service_of_the_contract() -> None:
    """Without what the cluster says of it, and without what would open it to the world."""
    service = _applied(ENTRY, GATEWAY, HTTP_ROUTES, SERVICE)[_SERVICE]
    assert service["metadata"]["labels"] == {"team": "a"}
    assert service["spec"] == {
        "selector": {"istio": "egress-1-egressgateway"},
        "ports": [{"port": 80, "protocol": "TCP", "name": "http2", "targetPort": 8080}],
    }


def test_rule_for_the_gateways_service() -> None:
    """Host, and labels of its subsets, are those of the run's."""
    rule = pieces(ORIGINATION)[2].replace(
        "  - name: weather\n", "  - name: weather\n    labels: {istio: egressgateway}\n"
    )
    spec = _applied(*pieces(ORIGINATION, mutual=rule))[_istio("destinationrules", "gateway")][
        "spec"
    ]
    assert spec["host"] == THERE
    assert spec["subsets"][0]["labels"] == {"istio": "egress-1-egressgateway"}
    assert spec["subsets"][0]["trafficPolicy"]["portLevelSettings"][0]["tls"]["sni"] == (
        "api.weather.com"
    )


RENAMING = Renaming(
    "egress-1", frozenset({"istio-system"}), frozenset({("istio-egressgateway", "istio-system")})
)


@pytest.mark.parametrize(
    ("text", "there"),
    [
        (HOST, THERE),
        (f"outbound_.80_._.{HOST}", f"outbound_.80_._.{THERE}"),
        (f"other-{HOST}", f"other-{HOST}"),
        ("istio-egressgateway.shop.svc.cluster.local",) * 2,
        ("istio-egressgateway.istio-system.svcs.example",) * 2,
        (
            "spiffe://cluster.local/ns/istio-system/sa/gateway",
            "spiffe://cluster.local/ns/egress-1-istio-system/sa/gateway",
        ),
        ("spiffe://cluster.local/ns/elsewhere/sa/gateway",) * 2,
    ],
)
def test_hosts_and_identities(text: str, there: str) -> None:
    """Those of Services and namespaces that are applied, wherever they stand in a text."""
    assert RENAMING.host(text) == there


def test_references_of_routes() -> None:
    """Gateways and namespaces by name: in the list, in each match, of a delegate."""
    spec = RENAMING.spec(
        "VirtualService",
        "default",
        {
            "gateways": ["mesh", "istio-system/egress", "./own", "gw.shop.svc.cluster.local"],
            "http": [
                {
                    "match": [{"gateways": ["istio-system/egress"], "sourceNamespace": "shop"}],
                    "delegate": {"name": "more", "namespace": "shop"},
                }
            ],
        },
    )
    assert spec["gateways"] == [
        "mesh",
        "egress-1-istio-system/egress",
        "./own",
        "gw.egress-1-shop.svc.cluster.local",
    ]
    (rule,) = spec["http"]
    assert rule["match"] == [
        {"gateways": ["egress-1-istio-system/egress"], "sourceNamespace": "egress-1-shop"}
    ]
    assert rule["delegate"] == {"name": "more", "namespace": "egress-1-shop"}


def test_hosts_of_a_server() -> None:
    """The namespace in front of a host is the run's; any and its own stay."""
    spec = {"servers": [{"hosts": ["shop/a.com", "*/b.com", "./c.com", "d.com"]}]}
    found = RENAMING.spec("Gateway", "default", spec)["servers"][0]["hosts"]
    assert found == ["egress-1-shop/a.com", "*/b.com", "./c.com", "d.com"]


def test_label_that_would_be_too_long() -> None:
    """It is cut, and stays distinct."""
    found = RENAMING.labels({"a": "v" * 63, "b": "v" * 62 + "w", "c": ""})
    assert len(set(found.values())) == 3
    assert all(len(it) <= 63 for it in found.values())
    assert found["c"] == "egress-1"


def test_service_without_a_gateway_is_refused() -> None:
    """At its place: what is behind it is not there."""
    other = SERVICE.replace("istio: egressgateway", "app: shop").replace(
        "name: istio-egressgateway", "name: shop"
    )
    (problem,) = refusals(loads(documents(ENTRY, GATEWAY, HTTP_ROUTES, other)), "default")
    assert problem.message.startswith("Service: no egress gateway is behind it")
    assert not refusals(loads(documents(ENTRY, GATEWAY, HTTP_ROUTES, SERVICE)), "default")


def test_secret_of_a_gateway_is_refused() -> None:
    """It is in no namespace of the run's."""
    text = GATEWAY.replace(
        "    tls: {mode: PASSTHROUGH}", "    tls: {mode: SIMPLE, credentialName: c}"
    ).replace("protocol: TLS", "protocol: HTTPS")
    (problem,) = refusals(loads(documents(ENTRY, text, HTTP_ROUTES)), "default")
    assert '"c" is a Secret of the cluster' in problem.message


def test_files_of_a_gateway_are_refused() -> None:
    """They would have to be in its pod, and in the sidecar those that it is spoken to with."""
    text = GATEWAY.replace(
        "    tls: {mode: PASSTHROUGH}",
        "    tls: {mode: SIMPLE, serverCertificate: /a.pem, privateKey: /a.key}",
    ).replace("protocol: TLS", "protocol: HTTPS")
    found = refusals(loads(documents(ENTRY, text, HTTP_ROUTES)), "default")
    assert [it.message.partition(":")[0] for it in found] == [
        '"/a.pem" is a file of the gateway\'s pods',
        '"/a.key" is a file of the gateway\'s pods',
    ]


def test_control_of_a_gateway() -> None:
    """A Gateway for the pods of that namespace lets the control in."""
    placed = {it.plural: it.body["spec"] for it in control_objects("n", 7, gateway=True)}
    assert placed["gateways"]["selector"] == {CONTROL_LABEL: "n"}
    assert placed["virtualservices"]["gateways"] == ["mesh", "pytest-egress-control"]


def test_pod_of_a_gateway() -> None:
    """Injected by the gateways' template, with labels, account and ports of the gateway's own."""
    workload_text = """\
apiVersion: v1
kind: Pod
metadata:
  name: gw
  namespace: istio-system
  labels: {istio: egressgateway}
spec:
  serviceAccountName: egress
  containers:
  - {name: istio-proxy, image: auto, ports: [{name: web, containerPort: 8080}]}
"""
    contract = loads(documents(ENTRY, GATEWAY, HTTP_ROUTES, SERVICE, workload_text))
    (workload,) = gateway_workloads(contract)
    pod = gateway_pod(
        "gateway-0",
        "egress-1-istio-system",
        workload,
        "egress-1",
        image="python:3.13-slim",
        labels={"pytest-egress/pid": "7"},
        simulated=SEEN,
        istiod={"istiod.istio-system.svc": "10.96.0.7"},
    )
    metadata, spec = pod["metadata"], pod["spec"]
    assert metadata["labels"]["istio"] == "egress-1-egressgateway"
    assert metadata["labels"][RUN_LABEL] == "egress-1"
    assert metadata["labels"][CONTROL_LABEL] == "egress-1-istio-system"
    assert metadata["annotations"]["inject.istio.io/templates"] == "gateway"
    assert spec["serviceAccountName"] == "egress"
    proxy = next(it for it in spec["containers"] if it["name"] == "istio-proxy")
    assert proxy["ports"] == [{"name": "web", "containerPort": 8080, "protocol": "TCP"}]
    (mount,) = proxy["volumeMounts"]
    assert mount["name"] in {it["name"] for it in spec["volumes"]}

"""Services and pods, read from the files that hold them."""

from __future__ import annotations

import pytest

from pytest_egress.contract import loads
from pytest_egress.contract.kubernetes.resource import KubernetesPort
from tests.contract.kubernetes.documents import ENTRY, POD, SERVICE, documents


def test_service() -> None:
    """Ports, selector and address as the file gives them; it is older than the contract."""
    [service] = loads(documents(SERVICE, ENTRY), file="egress.yaml").kubernetes_services
    assert service.host == "istio-egressgateway.istio-system.svc.cluster.local"
    assert service.selector == {"app": "istio-egressgateway", "istio": "egressgateway"}
    assert service.ports == (
        KubernetesPort(80, "http2", target_port=8080),
        KubernetesPort(443, "https", target_port="web"),
    )
    assert service.cluster_ip == ""
    assert service.metadata.creation_timestamp == 0
    assert str(service.at("spec", "ports", 1)) == "egress.yaml:10:5"


def test_pods_of_a_deployment() -> None:
    """The template's labels, account and container ports are those of its pods."""
    [pod] = loads(documents(POD, ENTRY)).kubernetes_pods
    assert pod.metadata.labels["tier"] == "edge"
    assert (pod.service_account, pod.address, pod.ports) == ("egress", "", {"web": 8443})


def test_pod() -> None:
    """A pod has its own labels, and the address that it runs at."""
    text = """\
apiVersion: v1
kind: Pod
metadata: {name: p, labels: {istio: egressgateway}}
spec: {containers: [{name: c, ports: [{containerPort: 1}]}]}
status: {podIP: 10.1.2.3}
"""
    [pod] = loads(documents(text, ENTRY)).kubernetes_pods
    assert (pod.metadata.labels, pod.address) == ({"istio": "egressgateway"}, "10.1.2.3")


@pytest.mark.parametrize(
    "text",
    [
        "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {type: ExternalName}\n",
        "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: http}]}\n",
        "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: 80}\n",
        (
            "{apiVersion: v1, kind: Service, metadata: {name: a}, "
            "spec: {ports: [{port: 1, targetPort: [2]}]}}\n"
        ),
        (
            "{apiVersion: v1, kind: Service, metadata: {name: a}, "
            "spec: {ports: [{port: 1, appProtocol: 2}]}}\n"
        ),
        "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n",
        "apiVersion: v1\nkind: Service\nmetadata: {}\nspec: {}\n",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {}\n",
        "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: a}\nspec: {}\n",
    ],
)
def test_others_are_left_alone(text: str) -> None:
    """What is no Service of a cluster, or one that the API server would refuse, does no harm."""
    contract = loads(documents(text, ENTRY))
    assert (contract.kubernetes_services, contract.kubernetes_pods) == ((), ())
    assert sum(contract.other_kinds.values()) == 1
    assert not [it for it in contract.warnings if not it.rule.startswith("lint/")]

"""What is valid and cannot be enforced by the embedded proxy."""

from __future__ import annotations

from pytest_egress.contract import loads, unsupported
from tests.contract.samples import ENTRY, SIDECAR, WORKLOAD

SELECTING = ENTRY.replace(
    "resolution: DNS", "resolution: STATIC\n  workloadSelector: {labels: {app: db}}"
)


def test_a_usual_contract_is_supported() -> None:
    """Nothing to say, DYNAMIC_DNS included."""
    dynamic = ENTRY.replace("api.", '"*.').replace(".example", '.example"')
    dynamic = dynamic.replace("resolution: DNS", "resolution: DYNAMIC_DNS")
    for text in (ENTRY, SIDECAR, WORKLOAD, dynamic):
        assert unsupported(loads(text)) == []


def test_unix_endpoints_need_a_pod() -> None:
    """The socket lies in the pod's own file system."""
    text = ENTRY.replace(
        "resolution: DNS", "resolution: STATIC\n  endpoints:\n  - address: unix:///run/x.sock"
    )
    problem = unsupported(loads(text))[0]
    assert problem.severity == "error"
    assert "spec.endpoints[0].address" in problem.message
    assert "a Unix socket of the pod's own file system" in problem.message
    assert "only a cluster can" in problem.message
    assert (problem.position.line, problem.position.column) == (15, 14)


def test_unix_workloads_and_listeners_need_a_pod() -> None:
    """The same for a WorkloadEntry and for the bind of a Sidecar's listener."""
    workload = WORKLOAD.replace("192.0.2.7", "unix:///x").replace("  ports:\n    https: 8443\n", "")
    sidecar = SIDECAR.replace("bind: 127.0.0.1", "bind: unix:///x").replace("3128", "0")
    found = unsupported(loads(f"{workload}---\n{sidecar}"))
    assert [p.message.partition(":")[0] for p in found] == ["spec.address", "spec.egress[0].bind"]


def test_a_network_without_address_needs_a_mesh() -> None:
    """It is reached through the network's gateway."""
    workload = WORKLOAD.replace("  address: 192.0.2.7\n", "")
    assert "spec.network" in unsupported(loads(workload))[0].message
    entry = ENTRY.replace("resolution: DNS", "resolution: STATIC\n  endpoints: [{network: net}]")
    assert "spec.endpoints[0].network" in unsupported(loads(entry))[0].message


def test_a_selector_is_fine_with_its_workload_entries() -> None:
    """Pods are not known; a WorkloadEntry of the namespace is."""
    assert unsupported(loads(f"{SELECTING}---\n{WORKLOAD}")) == []
    elsewhere = WORKLOAD.replace("namespace: shop", "namespace: other")
    other_labels = WORKLOAD.replace("app: db", "app: web")
    for text in (SELECTING, f"{SELECTING}---\n{elsewhere}", f"{SELECTING}---\n{other_labels}"):
        problem = unsupported(loads(text))[0]
        assert problem.severity == "warning"
        assert "spec.workloadSelector" in problem.message


def test_istios_own_marks_are_not_for_contracts() -> None:
    """They change what a VirtualService means."""
    route = (
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: x\n"
        "  annotations: {internal.istio.io/route-semantics: gateway}\n"
        "spec: {hosts: [a.b], http: [{route: [{destination: {host: a.b}}]}]}\n"
    )
    [problem] = unsupported(loads(route))
    assert problem.severity == "error"
    assert problem.position.line == 5
    assert "internal.istio.io/route-semantics: Istio's own mark" in problem.message
    assert unsupported(loads(route.replace("gateway", "other"))) == []

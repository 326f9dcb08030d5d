"""Verdicts of istiod's own sidecar, in a test pod of a real cluster."""

from __future__ import annotations

import json

import pytest

from pytest_egress.backends.cluster.api import Api
from pytest_egress.backends.cluster.backend import ClusterBackend
from pytest_egress.backends.cluster.meshes import members
from pytest_egress.backends.local import LocalBackend
from pytest_egress.egress import Egress
from pytest_egress.verdict import Verdict

R, B, U, X = Verdict.REACHABLE, Verdict.BLOCKED, Verdict.UNDECLARED, Verdict.UNREACHABLE

CALLS = [
    ("https://api.example.com/v1", R),
    ("http://api.example.com/v1", R),
    ("http://api.example.com/old", B),
    ("http://api.example.com/forbidden", B),
    ("http://api.example.com:8081", B),
    ("https://evil.example", B),
    ("http://evil.example", B),
    ("tcp://db.example.com:5432", R),
    ("tcp://203.0.113.8:5432", B),
    ("tls://api.example.com:443", R),
    ("grpc://grpc.example.com:50051", R),
    ("http://originated.example.com:8080", R),
    ("http://shared.example.com", R),
    ("http://hidden.example.com", B),
]


@pytest.mark.parametrize(("url", "verdict"), CALLS)
def test_verdict_is_that_of_local(egress: Egress, url: str, verdict: Verdict) -> None:
    """With the same words about what decided, where and why."""
    outcome = egress.probe(url)
    local = LocalBackend()
    try:
        beside = Egress(local, egress.contract).probe(url)
    finally:
        local.close()
    assert outcome.verdict is verdict, outcome
    assert beside.verdict is verdict, beside
    assert outcome.reason == beside.reason
    assert outcome.declared_by == beside.declared_by


def test_open_mesh_passes_what_nothing_declares(egress: Egress) -> None:
    """Into the simulated outside, and nowhere else."""
    outcome = egress.with_policy("ALLOW_ANY").get("https://evil.example")
    assert outcome.verdict is U
    assert egress.get("https://evil.example").blocked


def test_upstream_is_scripted(egress: Egress) -> None:
    """The outside is in the test process, wherever the pod is."""
    api = egress.upstream("api.example.com")
    api.respond(418, body="short and stout")
    outcome = egress.get("http://api.example.com/tea")
    assert outcome.status == 418
    assert api.requests[-1].path == "/tea"
    api.reset()
    assert egress.get("http://api.example.com/tea").verdict is X


def test_name_that_does_not_exist(egress: Egress) -> None:
    """The pod's own lookup fails."""
    egress.upstream("gone.example.com").nxdomain()
    assert egress.get("https://gone.example.com").verdict is Verdict.UNRESOLVED
    assert egress.resolve("gone.example.com").answer.rcode == "NXDOMAIN"


def test_names_of_the_cluster_are_its_own(egress: Egress) -> None:
    """They are asked of its name server."""
    found = egress.resolve("kubernetes.default.svc.cluster.local").answer
    assert found.addresses
    assert not found.addresses[0].startswith("198.18.")


def test_session_enters_the_pod(egress: Egress) -> None:
    """The application's own requests go through the sidecar."""
    assert egress.session.get("https://api.example.com/v1", timeout=10).status_code == 200
    answer = egress.session.get("http://evil.example/", timeout=10)
    assert answer.status_code == 502


def test_nothing_leaves_the_pod(egress: Egress, backend: ClusterBackend, api: Api) -> None:
    """UDP is not captured by any mesh: netfilter drops it; the API server is out of reach."""
    pod = members(backend.enforce(egress.contract, egress.workload))[0].pod
    script = (
        "import socket,sys\n"
        "s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n"
        "try:\n s.sendto(b'x',('192.0.2.1',9)); print('sent')\n"
        "except PermissionError: print('dropped')\n"
    )
    ran = pod.agent.exec(["python3", "-c", script])
    assert ran.stdout == b"dropped\n", ran


def test_other_labels_are_another_pod(egress: Egress) -> None:
    """A workload is who it is by its namespace and labels."""
    other = egress.as_workload("elsewhere", {"app": "other"})
    assert other.get("http://hidden.example.com").reachable
    assert egress.get("http://hidden.example.com").blocked


def test_mesh_is_not_changed(egress: Egress, api: Api) -> None:
    """Everything applied is in the run's namespaces, and exported to none but these."""
    assert egress.get("https://api.example.com").reachable
    for plural in ("serviceentries", "virtualservices", "destinationrules"):
        found = api.get(f"/apis/networking.istio.io/v1/{plural}", "list")
        for item in found["items"]:
            namespace = item["metadata"]["namespace"]
            if namespace.startswith("egress-"):
                exported = item["spec"]["exportTo"]
                assert all(it in {".", "~"} or it.startswith("egress-") for it in exported)
    sidecars = api.get("/apis/networking.istio.io/v1/namespaces/istio-system/sidecars", "list")
    assert sidecars["items"] == []


def test_proxy_describes_itself(egress: Egress, backend: ClusterBackend) -> None:
    """config_dump and istiod's view of it can be had for a failure's message."""
    pod = members(backend.enforce(egress.contract, egress.workload))[0].pod
    dump = json.loads(pod.admin.ask("config_dump"))
    assert dump["configs"]
    assert "SYNCED" in pod.syncz() or pod.name in pod.syncz()


def test_commands_in_the_pod(egress: Egress) -> None:
    """Programs of any language, with the calls that they made."""
    done = egress.pod.exec(
        ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "https://api.example.com/v1"]
    )
    assert done.stdout == "200", done.stderr
    assert done.calls.hosts == {"api.example.com"}
    blocked = egress.pod.exec(
        ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "http://evil.example"],
        on_blocked="allow",
    )
    assert blocked.stdout == "502", blocked.stderr
    assert [call.verdict for call in blocked.calls] == [B]


def test_captured_calls(egress: Egress) -> None:
    """This process's own connections enter the pod."""
    import urllib.request

    with egress.capture() as calls, urllib.request.urlopen("https://api.example.com/v1") as answer:
        assert answer.status == 200
    assert calls.hosts == {"api.example.com"}


def test_an_open_connection_has_a_record(egress: Egress) -> None:
    """A pool keeps it: the end of the capture is not its end."""
    import requests

    with requests.Session() as session:
        with egress.capture() as calls:
            assert session.get("https://api.example.com/", timeout=10).ok
        assert calls.hosts == {"api.example.com"}


def test_addresses_that_change_are_looked_up_anew(egress: Egress) -> None:
    """The proxy forgets what it was told before."""
    assert egress.get("https://api.example.com/").reachable
    egress.upstream("api.example.com").addresses("203.0.113.10", "203.0.113.11")
    answered = {egress.get("https://api.example.com/").upstream for _ in range(20)}
    assert answered == {"203.0.113.10:443", "203.0.113.11:443"}

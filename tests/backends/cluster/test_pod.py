"""The objects of a test pod, and what is read from the cluster's answers."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from pytest_egress.backends.cluster.pod import (
    HELD_PORT,
    Injected,
    bootstrap,
    injected,
    namespace,
    pod_of,
    witness_filter,
)
from pytest_egress.backends.cluster.podstatus import failing, not_begun, not_running, unready
from pytest_egress.contract.resources import Workload
from pytest_egress.envoy.instruments import WITNESS_CLUSTER
from pytest_egress.errors import BackendError

SEEN = Injected("istio/proxyv2:1.31.0", ("istiod.istio-system.svc", 15012), dns_capture=False)


def _pod(simulated: Injected | None) -> dict[str, Any]:
    return pod_of(
        "test-pod-0",
        "egress-default",
        Workload(labels={"app": "web"}),
        image="python:3.13-slim",
        service_account="web",
        labels={"pytest-egress/pid": "7"},
        simulated=simulated,
        istiod={"istiod.istio-system.svc": "10.96.0.7"},
        name_server="10.96.0.10",
    )


def test_pod_has_the_labels_of_its_workload() -> None:
    """Selectors of Sidecars see it as they would see the workload."""
    labels = _pod(SEEN)["metadata"]["labels"]
    assert labels["app"] == "web"
    assert labels["pytest-egress/pid"] == "7"
    assert labels["sidecar.istio.io/inject"] == "true"


def test_simulated_pod_asks_the_agent_for_names() -> None:
    """But finds istiod without it, since the proxy starts first."""
    spec = _pod(SEEN)["spec"]
    assert spec["dnsPolicy"] == "None"
    assert spec["dnsConfig"]["nameservers"] == ["127.0.0.1"]
    assert spec["hostAliases"] == [{"ip": "10.96.0.7", "hostnames": ["istiod.istio-system.svc"]}]


@pytest.mark.parametrize("last", [True, False])
def test_redirect_comes_before_the_proxy(last: bool) -> None:
    """Of the containers the kubelet starts one after the other, hooks included; else by init.

    Its image is on the node already, and has iptables-restore for istio-init.
    """
    spec = _pod(replace(SEEN, last=last))["spec"]
    restore = ["iptables-restore", "--noflush", "/etc/pytest-egress/rules"]
    if last:
        assert "initContainers" not in spec
        redirect = spec["containers"][-1]
        assert redirect["lifecycle"]["postStart"]["exec"]["command"] == restore
    else:
        (redirect,) = spec["initContainers"]
        assert [it["name"] for it in spec["containers"]] == ["egress-test"]
        assert redirect["command"] == restore
    assert redirect["image"] == "istio/proxyv2:1.31.0"


def test_a_proxy_is_held_until_there_is_an_agent() -> None:
    """The kubelet starts no container before the hook of the one before it has ended."""
    arguments: dict[str, Any] = {"image": "i", "service_account": "s", "labels": {}}
    pod = pod_of("p", "n", Workload(), simulated=SEEN, held=True, **arguments)
    first, redirect = pod["spec"]["containers"]
    *python, hold = first["lifecycle"]["postStart"]["exec"]["command"]
    assert python == ["python3", "-I", "-c"]
    compile(hold, "hold", "exec")
    assert f'create_connection(("127.0.0.1", {HELD_PORT}), 1)' in hold
    assert redirect["name"] == "egress-redirect"
    first_one = replace(SEEN, last=False)
    pod = pod_of("p", "n", Workload(), simulated=first_one, held=True, **arguments)
    assert "lifecycle" not in pod["spec"]["containers"][0]


def test_redirect_leads_the_proxy_to_the_agent_and_closes_the_pod() -> None:
    """But for istiod and the name server."""
    pod = _pod(SEEN)
    rules = pod["metadata"]["annotations"]["pytest-egress/rules"].splitlines()
    assert rules.count("COMMIT") == 2
    assert rules[rules.index("COMMIT") - 1] == (
        "-A EGRESS_OUTSIDE -p tcp -j REDIRECT --to-ports 15070-15085"
    )
    assert rules[-2:] == ["-A EGRESS_CLOSED -j DROP", "COMMIT"]
    assert "-A EGRESS_CLOSED -p tcp -d 10.96.0.7/32 --dport 15012 -j RETURN" in rules


def test_the_proxys_agent_does_not_ask_for_its_cloud() -> None:
    """Those requests would come to the simulated outside."""
    for seen, platform in ((SEEN, "none"), (None, None)):
        config = json.loads(_pod(seen)["metadata"]["annotations"]["proxy.istio.io/config"])
        assert config["proxyMetadata"].get("CLOUD_PLATFORM") == platform


def test_live_pod_has_the_clusters_own_names_and_ways() -> None:
    """The real outside is asked."""
    pod = _pod(None)
    assert not {"dnsPolicy", "dnsConfig", "hostAliases", "initContainers"} & set(pod["spec"])
    assert "pytest-egress/rules" not in pod["metadata"]["annotations"]


def test_the_proxy_trusts_the_simulated_outside() -> None:
    """Its CA stands where the agent looks for those of the system; not in a live run."""
    annotations = _pod(SEEN)["metadata"]["annotations"]
    (volume,) = json.loads(annotations["sidecar.istio.io/userVolume"]).items()
    (mount,) = json.loads(annotations["sidecar.istio.io/userVolumeMount"]).items()
    settings = bootstrap("test-pod-0", "n", "a certificate")
    assert volume[0] == mount[0]
    assert volume[1]["configMap"]["name"] == settings["metadata"]["name"]
    assert settings["data"][mount[1]["subPath"]] == "a certificate"
    assert mount[1]["mountPath"] == "/etc/ssl/certs/ca-certificates.crt"
    assert "sidecar.istio.io/userVolume" not in _pod(None)["metadata"]["annotations"]
    assert set(bootstrap("p", "n")["data"]) == {"custom_bootstrap.json"}


def test_records_go_to_a_cluster_of_the_bootstrap() -> None:
    """Envoy takes no other one for this logger."""
    content = json.loads(bootstrap("p", "n")["data"]["custom_bootstrap.json"])
    assert content["static_resources"]["clusters"][0]["name"] == WITNESS_CLUSTER
    spec = witness_filter("p", "n")["spec"]
    assert spec["workloadSelector"] == {"labels": {"pytest-egress/pod": "p"}}
    assert [it["applyTo"] for it in spec["configPatches"]] == [
        "LISTENER",
        "NETWORK_FILTER",
        "NETWORK_FILTER",
        "NETWORK_FILTER",
    ]
    merged = spec["configPatches"][-1]["patch"]["value"]["typed_config"]
    assert merged["@type"].endswith(".TcpProxy")  # a pooled connection is told before it ends
    assert merged["access_log_options"] == {"flush_access_log_on_connected": True}


def test_namespace_of_a_revision() -> None:
    """Both labels at once would be refused by nobody and mean the wrong one."""
    assert namespace("n", {}, "")["metadata"]["labels"]["istio-injection"] == "enabled"
    labels = namespace("n", {}, "canary")["metadata"]["labels"]
    assert labels["istio.io/rev"] == "canary"
    assert "istio-injection" not in labels


def _injected(environment: dict[str, str], kind: str = "initContainers") -> dict[str, Any]:
    env = [{"name": key, "value": value} for key, value in environment.items()]
    proxy = {"name": "istio-proxy", "image": "proxy:1", "env": env}
    return {"metadata": {"namespace": "n"}, "spec": {"containers": [], kind: [proxy]}}


@pytest.mark.parametrize("kind", ["containers", "initContainers"])
def test_injected_sidecar_is_read(kind: str) -> None:
    """As a container, or as a native sidecar."""
    pod = _injected({"CA_ADDR": "istiod.istio-system.svc:15012", "PROXY_CONFIG": "{}\n"}, kind)
    seen = injected(pod)
    expected = Injected("proxy:1", ("istiod.istio-system.svc", 15012), False, kind == "containers")
    assert seen == expected
    held = {"name": "egress-test"}
    pod["spec"]["containers"] = [*pod["spec"]["containers"], held]
    assert not injected(pod).last


def test_own_discovery_address_comes_first() -> None:
    """A revision's istiod has a name of its own."""
    settings = json.dumps({"discoveryAddress": "istiod-canary.istio-system.svc:15012"})
    pod = _injected({"CA_ADDR": "ca.example:443", "PROXY_CONFIG": settings})
    assert injected(pod).discovery == ("istiod-canary.istio-system.svc", 15012)


def test_pod_without_sidecar_is_refused() -> None:
    """It says what may be missing; ambient has none."""
    with pytest.raises(BackendError, match="get no sidecar") as caught:
        injected({"metadata": {"namespace": "n"}, "spec": {"containers": [{"name": "x"}]}})
    assert "ambient" in caught.value.next_step


READY = {"type": "Ready", "status": "True"}


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        ({"status": {"phase": "Running", "conditions": [READY]}}, ""),
        ({"metadata": {"deletionTimestamp": "now"}, "status": {"conditions": [READY]}}, "deleted"),
        (
            {"status": {"phase": "Failed", "reason": "Evicted", "message": "out of memory"}},
            "it has failed: Evicted out of memory",
        ),
        (
            {
                "status": {
                    "containerStatuses": [
                        {
                            "name": "egress-test",
                            "state": {"waiting": {"reason": "ErrImagePull", "message": "no such"}},
                        }
                    ]
                }
            },
            "egress-test: ErrImagePull: no such",
        ),
        (
            {
                "status": {
                    "initContainerStatuses": [
                        {"name": "egress-redirect", "state": {"terminated": {"exitCode": 2}}}
                    ]
                }
            },
            "egress-redirect ended with exit status 2",
        ),
        (
            {
                "status": {
                    "conditions": [
                        {"type": "PodScheduled", "status": "False", "message": "no room"},
                    ]
                }
            },
            "no room",
        ),
        (
            {"status": {"conditions": [{"type": "Ready", "status": "False", "message": "m"}]}},
            "m",
        ),
        ({"status": {"phase": "Pending"}}, "it has just been made"),
        ({}, "it is not there (deleted or evicted)"),
    ],
)
def test_what_keeps_a_pod_from_being_used(pod: dict[str, Any], expected: str) -> None:
    """In the cluster's own words."""
    told = failing(pod) or unready(pod)
    if expected == "deleted":
        assert "deleted" in told
    else:
        assert told == expected


ENDED = {"state": {"terminated": {"exitCode": 0}}}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({}, "it has just been made"),
        ({"initContainerStatuses": [{"name": "istio-init", "state": {}}]}, "istio-init has not"),
        ({"initContainerStatuses": [{"name": "istio-init", **ENDED}]}, "it has just been made"),
        (
            {
                "initContainerStatuses": [
                    {"name": "istio-init", **ENDED},
                    {"name": "proxy", "started": False, "state": {"running": {}}},
                ]
            },
            "proxy has not",
        ),
        (
            {
                "hostIP": "10.0.0.1",
                "initContainerStatuses": [
                    {"name": "istio-init", **ENDED},
                    {"name": "proxy", "started": True, "state": {"running": {}}},
                ],
            },
            "",
        ),
    ],
)
def test_containers_begin_after_those_that_come_first(
    status: dict[str, Any], expected: str
) -> None:
    """Init containers end, sidecars among them start; before that no command can be."""
    init = [{"name": "istio-init"}, {"name": "proxy", "restartPolicy": "Always"}]
    told = not_begun({"spec": {"initContainers": init}, "status": status})
    assert told.startswith(expected)
    assert bool(told) == bool(expected)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({"running": {}}, ""),
        ({"terminated": {"exitCode": 3}}, "mine ended with exit status 3"),
        ({"waiting": {"reason": "ErrImagePull", "message": "no"}}, "mine: ErrImagePull no"),
    ],
)
def test_what_keeps_an_ephemeral_container_from_being_used(
    state: dict[str, Any], expected: str
) -> None:
    """In the cluster's own words; others in the pod are not looked at."""
    others = {"name": "other", "state": {"waiting": {}}}
    status = {"ephemeralContainerStatuses": [others, {"name": "mine", "state": state}]}
    assert not_running({"status": status}, "mine") == expected
    assert "just been added" in not_running({"status": {}}, "mine")

"""exportTo and Sidecars: what a workload gets to see."""

from __future__ import annotations

import pytest

from pytest_egress.contract.resources import (
    EgressListener,
    MeshConfig,
    OutboundTrafficPolicy,
    ProxyDestination,
    Sidecar,
    SidecarPort,
)
from tests.envoy.build import by_name, chains, compiled, entry, names, sidecar


@pytest.mark.parametrize(
    ("export_to", "seen_by"),
    [
        ((), {"default", "shop", "other"}),
        (("*",), {"default", "shop", "other"}),
        (("*", "."), {"default", "shop", "other"}),
        ((".",), {"shop"}),
        (("shop",), {"shop"}),
        (("default", "."), {"default", "shop"}),
        (("~",), set()),
    ],
)
def test_export_to(export_to: tuple[str, ...], seen_by: set[str]) -> None:
    """An entry of namespace ``shop`` is seen by the namespaces it is exported to."""
    resource = entry("a.example.com", "80/HTTP", namespace="shop", export_to=export_to)
    seen = {
        it
        for it in ("default", "shop", "other")
        if names(compiled(resource, namespace=it).clusters)
    }
    assert seen == seen_by


def test_mesh_default_export() -> None:
    """``defaultServiceExportTo`` counts for entries without exportTo only."""
    mesh = MeshConfig(default_service_export_to=(".",))
    hidden = entry("a.example.com", "80/HTTP", namespace="shop")
    shown = entry("b.example.com", "80/HTTP", namespace="shop", export_to=("*",))
    assert names(compiled(hidden, shown, mesh=mesh).clusters) == ["outbound|80||b.example.com"]


def test_private_comes_before_older_public() -> None:
    """An entry exported to the namespace is met before a public one, whatever its age."""
    public = entry("a.example.com", "5432/TCP", creation_timestamp=1)
    private = entry("b.example.com", "5432/TCP", creation_timestamp=2, export_to=(".",))
    program = compiled(public, private)
    assert chains(program, "0.0.0.0_5432") == [({}, "outbound|5432||b.example.com")]


def test_own_namespace_wins_a_host() -> None:
    """Of one host in two namespaces the asking workload's counts, else the oldest."""
    theirs = entry("a.example.com", "80/HTTP", namespace="shop", creation_timestamp=1)
    ours = entry("a.example.com", "443/TLS", namespace="default", creation_timestamp=2)
    assert names(compiled(theirs, ours).clusters) == ["outbound|443||a.example.com"]
    assert names(compiled(theirs, ours, namespace="other").clusters) == [
        "outbound|80||a.example.com"
    ]


def test_entry_without_creation_time_is_the_youngest() -> None:
    """One that no cluster has stamped is yet to be created; Istio's own store gives it now."""
    new = entry("a.example.com", "80/HTTP", namespace="shop")
    stamped = entry("a.example.com", "443/TLS", namespace="web", creation_timestamp=1)
    assert names(compiled(new, stamped).clusters) == ["outbound|443||a.example.com"]


def test_ports_of_one_host_are_merged() -> None:
    """Two alike entries of one namespace share the host's clusters; unlike ones do not."""
    first = entry("a.example.com", "80/HTTP", name="x", creation_timestamp=1)
    same = entry("a.example.com", "443/TLS", name="y", creation_timestamp=2)
    unlike = entry("a.example.com", "8080/HTTP", name="z", resolution="NONE", creation_timestamp=3)
    program = compiled(first, same, unlike)
    assert names(program.clusters) == ["outbound|80||a.example.com", "outbound|443||a.example.com"]
    # The listener of the one that was not merged leads to a cluster that does not exist.
    assert "0.0.0.0_8080" in names(program.listeners)


@pytest.mark.parametrize(
    ("hosts", "seen"),
    [
        ("*/*", {"a", "b", "c"}),
        ("./*", {"a", "b"}),
        ("shop/*", {"c"}),
        ("*/a.example.com", {"a"}),
        ("default/*.example.com", {"a", "b"}),
        ("*/*.com", {"a", "b", "c"}),
        ("~/*", set()),
        ("*/* ~/a.example.com", {"b", "c"}),
        ("*/* ~shop/*", {"a", "b"}),
        ("*/* ~./*.example.com", {"c"}),
        ("shop/a.example.com", set()),
        ("a.example.com", set()),
    ],
)
def test_sidecar_hosts(hosts: str, seen: set[str]) -> None:
    """``namespace/dnsName`` patterns, with ``*``, ``.``, ``~`` and exclusions."""
    program = compiled(
        entry("a.example.com", "80/HTTP"),
        entry("b.example.com", "80/HTTP"),
        entry("c.example.com", "80/HTTP", namespace="shop"),
        sidecar(hosts),
    )
    assert {it.split("|")[3][0] for it in names(program.clusters)} == seen


def test_exact_import_of_a_host_with_addresses_finds_one() -> None:
    """With exact hosts only, istiod looks up one service per host: other addresses are lost."""
    resource = entry("a.example.com", "5432/TCP", addresses=("10.0.0.1", "10.0.0.2"))
    assert names(compiled(resource, sidecar("default/a.example.com")).listeners) == [
        "10.0.0.1_5432"
    ]
    assert len(names(compiled(resource, sidecar("*/a.example.com")).listeners)) == 2


def test_sidecar_selection() -> None:
    """A matching selector before none, the older first, the root namespace last."""
    everything = [entry(f"{it}.example.com", "80/HTTP") for it in "abcd"]
    root = sidecar("*/a.example.com", namespace="istio-system")
    plain = sidecar("*/b.example.com", name="plain")
    young = sidecar(
        "*/c.example.com", name="young", workload_selector={"app": "x"}, creation_timestamp=2
    )
    old = sidecar(
        "*/d.example.com", name="old", workload_selector={"app": "x"}, creation_timestamp=1
    )

    def seen(*sidecars: Sidecar, **labels: str) -> list[str]:
        return names(compiled(*everything, *sidecars, labels=labels).clusters)

    assert seen(root, plain, young, old, app="x") == ["outbound|80||d.example.com"]
    assert seen(root, plain, young, old, app="y") == ["outbound|80||b.example.com"]
    assert seen(root, young, app="y") == ["outbound|80||a.example.com"]


def test_sidecar_without_egress_keeps_everything() -> None:
    """A Sidecar that only sets the policy imports all."""
    policy = OutboundTrafficPolicy("ALLOW_ANY")
    program = compiled(entry("a.example.com", "443/TLS"), sidecar(outbound_traffic_policy=policy))
    assert chains(program, "0.0.0.0_443")[-1] == ({}, "PassthroughCluster")
    assert names(program.clusters) == ["outbound|443||a.example.com"]


def test_egress_proxy_takes_the_undeclared() -> None:
    """Unknown bytes and unknown hosts go to the proxy's cluster instead of through."""
    policy = OutboundTrafficPolicy("ALLOW_ANY", ProxyDestination("proxy.example.com", 3128, "v1"))
    program = compiled(entry("a.example.com", "80/HTTP"), sidecar(outbound_traffic_policy=policy))
    wanted = "outbound|3128|v1|proxy.example.com"
    assert chains(program, "virtualOutbound")[-1] == ({}, wanted)
    catch_all = by_name(program.routes, "80")["virtual_hosts"][-1]
    assert catch_all["routes"][0]["route"]["cluster"] == wanted


def test_sidecar_port_locks_its_listener() -> None:
    """What a Sidecar's port has taken is closed to services of the listener without port."""
    program = compiled(
        entry("a.example.com", "80/HTTP"),
        entry("b.example.com", "80/HTTP 443/TLS"),
        sidecar("80/HTTP */a.example.com", "*/*"),
    )
    hosts = by_name(program.routes, "80")["virtual_hosts"]
    assert [it["name"] for it in hosts] == ["a.example.com:80", "block_all"]
    assert names(program.listeners) == ["0.0.0.0_80", "0.0.0.0_443"]


def test_sidecar_port_decides_the_protocol() -> None:
    """The Sidecar's protocol counts on its port; the cluster is the service's."""
    program = compiled(entry("a.example.com", "443/HTTPS"), sidecar("443/TCP */*"))
    assert chains(program, "0.0.0.0_443") == [({}, "outbound|443||a.example.com")]


def test_bind_and_capture_mode() -> None:
    """Capture mode NONE binds for real, on 127.0.0.1 unless told; a bind alone does not."""
    resource = entry("a.example.com", "80/HTTP")
    listener = EgressListener(("*/*",), SidecarPort(80, "HTTP"), capture_mode="NONE")
    real = compiled(
        resource, Sidecar(resource.metadata, locate=resource.locate, egress=(listener,))
    )
    assert "bind_to_port" not in by_name(real.listeners, "127.0.0.1_80")
    bound = compiled(resource, sidecar("80/HTTP@10.9.9.9 */*"))
    assert by_name(bound.listeners, "10.9.9.9_80")["bind_to_port"] is False
    # Away from the wildcard nothing else shares the port, so the HTTP chain matches all.
    assert chains(bound, "10.9.9.9_80") == [({}, "80")]


def test_unix_socket_listener() -> None:
    """A Unix socket serves all ports of its services, with the port in each domain."""
    resource = entry("a.example.com", "80/HTTP 8080/HTTP")
    listener = EgressListener(("*/*",), SidecarPort(0, "HTTP"), bind="unix:///run/egress.sock")
    program = compiled(
        resource, Sidecar(resource.metadata, locate=resource.locate, egress=(listener,))
    )
    built = by_name(program.listeners, "unix:///run/egress.sock_0")
    assert built["address"] == {"pipe": {"path": "/run/egress.sock"}}
    hosts = by_name(program.routes, "unix:///run/egress.sock")["virtual_hosts"]
    assert {it["name"]: it["domains"] for it in hosts} == {
        "a.example.com:80": [
            "a.example.com",
            "a.example.com:80",
            "a.example.com.",
            "a.example.com.:80",
        ],
        "a.example.com:8080": ["a.example.com:8080", "a.example.com.:8080"],
        "block_all": ["*"],
    }

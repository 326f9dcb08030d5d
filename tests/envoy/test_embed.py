"""The bootstrap of the embedded Envoy: istiod's configuration but for what ties it to a pod."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from pytest_egress.backends.local import LocalBackend
from pytest_egress.contract import loads, parse_mesh
from pytest_egress.contract.resources import Workload
from pytest_egress.envoy import Program, compile_contract
from pytest_egress.envoy.embed import Sockets, embed
from pytest_egress.envoy.instruments import (
    CONTROL_CLUSTER,
    WITNESS_CLUSTER,
    access_log,
    fields_of,
)
from pytest_egress.envoy.secrets import Secrets
from pytest_egress.evidence import Evidence
from pytest_egress.upstream import Outside
from tests.observed import CONTRACT, documents, entry, sidecar

DYNAMIC = entry("dynamic", "*.wild.com", {80: "HTTP", 443: "TLS"}, "DYNAMIC_DNS")
INSIDE = entry(
    "inside",
    "inside.example.com",
    {8000: "HTTP"},
    "STATIC",
    location="MESH_INTERNAL",
    endpoints=[{"address": "203.0.113.60", "serviceAccount": "reviews"}],
)
TARGET = entry("target", "target.example.com", {}, "NONE").replace(
    "ports: []", "ports: [{number: 9100, name: tcp, protocol: TCP, targetPort: 9200}]"
)
SOCKETS = Sockets(
    {"virtualOutbound": Path("/p/mesh.sock")},
    Path("/p/admin.sock"),
    Path("/p/witness.sock"),
    ("127.88.0.1", 9),
)
SECRETS = Secrets(lambda: "/p/ca.pem")


@pytest.fixture(scope="module", params=["REGISTRY_ONLY", "ALLOW_ANY"])
def program(request: pytest.FixtureRequest) -> Program:
    """A program with a cluster of every type."""
    mesh = parse_mesh(f"outboundTrafficPolicy: {{mode: {request.param}}}")
    text = documents(CONTRACT, DYNAMIC, INSIDE, TARGET)
    return compile_contract(loads(text, mesh=mesh), Workload())


@pytest.fixture(scope="module")
def outside(backend: LocalBackend) -> Outside:
    """The simulated outside."""
    return backend.outside


def resources(bootstrap: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """Its listeners or clusters, by name."""
    found = bootstrap["static_resources"][kind]
    named = {item["name"]: item for item in found}
    assert len(named) == len(found)
    return named


def chains(listener: dict[str, Any]) -> list[dict[str, Any]]:
    """Every filter chain of a listener."""
    default = listener.get("default_filter_chain")
    return [*listener.get("filter_chains", ()), *([default] if default else ())]


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in a JSON value."""
    if isinstance(value, dict):
        yield value
    for item in value.values() if isinstance(value, dict) else value:
        if isinstance(item, (dict, list, tuple)):
            yield from nodes(item)


def typed(value: Any, kind: str) -> list[dict[str, Any]]:
    """Every typed config of one kind."""
    return [node for node in nodes(value) if str(node.get("@type", "")).endswith(kind)]


@pytest.mark.parametrize("live", [False, True])
def test_names_and_matches_are_istiods(program: Program, outside: Outside, live: bool) -> None:
    """Listeners, chains, clusters keep names, order and matches; only the instruments are added."""
    bootstrap = embed(program, SOCKETS, None if live else outside, SECRETS)
    listeners, clusters = resources(bootstrap, "listeners"), resources(bootstrap, "clusters")
    assert list(listeners) == [*(it["name"] for it in program.listeners), CONTROL_CLUSTER]
    assert list(clusters) == [
        *(it["name"] for it in program.clusters),
        CONTROL_CLUSTER,
        WITNESS_CLUSTER,
    ]
    for given in program.listeners:
        ours = listeners[given["name"]]
        for before, after in zip(chains(given), chains(ours), strict=True):
            assert after.get("filter_chain_match") == before.get("filter_chain_match")
            assert "name" not in before or after["name"] == before["name"]
        inspectors = [it["name"] for it in ours.get("listener_filters", ())]
        expected = [it["name"] for it in given.get("listener_filters", ())]
        if given["name"] == "virtualOutbound":
            expected.insert(0, "envoy.filters.listener.proxy_protocol")
        assert inspectors == expected


def test_the_program_stays_as_it_was(program: Program, outside: Outside) -> None:
    """Embedding shares parts of the program and changes none of them; the result is JSON."""
    kinds = ("listeners", "routes", "clusters", "endpoints")
    before = {kind: copy.deepcopy(getattr(program, kind)) for kind in kinds}
    bootstrap = embed(program, SOCKETS, outside, SECRETS)
    assert json.loads(json.dumps(bootstrap)) == bootstrap
    assert {kind: getattr(program, kind) for kind in kinds} == before


@pytest.mark.parametrize("live", [False, True])
def test_nothing_is_bound_but_private_sockets(
    program: Program, outside: Outside, live: bool
) -> None:
    """The mesh and the admin interface are Unix sockets of mode 0600; no port is opened."""
    bootstrap = embed(program, SOCKETS, None if live else outside, SECRETS)
    assert bootstrap["admin"]["address"] == {"pipe": {"path": "/p/admin.sock", "mode": 0o600}}
    for name, listener in resources(bootstrap, "listeners").items():
        if name == "virtualOutbound":
            assert listener["address"] == {"pipe": {"path": "/p/mesh.sock", "mode": 0o600}}
        else:
            assert listener["bind_to_port"] is False


def test_port_that_a_pod_would_bind_is_not_bound(outside: Outside) -> None:
    """A Sidecar listener with captureMode NONE is a real socket in a pod, and none here."""
    port = {"number": 8080, "protocol": "HTTP", "name": "http"}
    listener = {"port": port, "bind": "127.0.0.1", "captureMode": "NONE", "hosts": ["./*"]}
    text = documents(CONTRACT, sidecar(egress=[listener]))
    program = compile_contract(loads(text), Workload())
    (given,) = [it for it in program.listeners if it["name"] == "127.0.0.1_8080"]
    assert given.get("bind_to_port") is not False
    ours = resources(embed(program, SOCKETS, outside, SECRETS), "listeners")["127.0.0.1_8080"]
    assert ours["bind_to_port"] is False


@pytest.mark.parametrize("live", [False, True])
def test_routes_and_endpoints_are_inlined(program: Program, outside: Outside, live: bool) -> None:
    """There is no xDS server: no RDS and no EDS is left, and the routes are the program's."""
    bootstrap = embed(program, SOCKETS, None if live else outside, SECRETS)
    assert not any("rds" in node or "eds_cluster_config" in node for node in nodes(bootstrap))
    assert all(it.get("type") != "EDS" for it in resources(bootstrap, "clusters").values())
    given = {route["name"]: route for route in program.routes}
    used = [
        node["route_config"]
        for node in typed(bootstrap["static_resources"]["listeners"], ".HttpConnectionManager")
    ]
    assert {route["name"] for route in used} >= set(given)
    assert all(route == given[route["name"]] for route in used if route["name"] in given)


@pytest.mark.parametrize("live", [False, True])
def test_every_connection_is_reported_once(program: Program, outside: Outside, live: bool) -> None:
    """A logger for each listener and each HTTP manager, and one that tells of the connect.

    All are one to Envoy, since their settings are the same; marks tell the places apart.
    """
    bootstrap = embed(program, SOCKETS, None if live else outside, SECRETS)
    for name, listener in resources(bootstrap, "listeners").items():
        assert listener["access_log"] == [access_log()]
        assert listener["metadata"]["filter_metadata"]["pytest_egress"] == {"listener": name}
        for chain in chains(listener):
            for manager in typed(chain, ".HttpConnectionManager"):
                assert manager["access_log"] == [access_log()]
                marks = chain["metadata"]["filter_metadata"]["pytest_egress"]
                assert marks["route_config"] == manager["route_config"]["name"]
            for proxy in typed(chain, ".TcpProxy"):
                if name != CONTROL_CLUSTER:
                    only = {"log_type_filter": {"types": ["TcpUpstreamConnected"]}}
                    assert proxy["access_log"] == [{**access_log(), "filter": only}]


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("DownstreamEnd", ("http", "a:1", "shop/routes http[0]", "80")),
        ("NotSet", ("connection", "b:2", "shop/routes tls[0]", "")),
        ("TcpUpstreamConnected", ("opened", "b:2", "shop/routes tls[0]", "")),
    ],
)
def test_records_are_told_apart_by_their_type(kind: str, told: tuple[str, ...]) -> None:
    """Of a request, its own source and rule count; of a connection, those of its filter chain."""
    record = dict.fromkeys(access_log()["typed_config"]["record"])
    record |= {"type": kind, "listener": "l", "destination": "c:3", "http.route_config": "80"}
    record |= {"http.source": "a:1", "tcp.source": "b:2"}
    record |= {"http.rule": "shop/routes http[0]", "tcp.rule": "shop/routes tls[0]"}
    evidence = Evidence.from_record(fields_of(record))
    assert (evidence.kind, evidence.source, evidence.rule, evidence.route_config) == told


def test_no_simulated_upstream_is_off_loopback(program: Program, outside: Outside) -> None:
    """Every address that can be dialled is on loopback, and so is the end it is dialled from."""
    bootstrap = embed(program, SOCKETS, outside, SECRETS)
    names = set()
    for endpoint in (node for node in nodes(bootstrap["static_resources"]["clusters"])):
        address = endpoint.get("socket_address", {}).get("address", "127.0.0.1")
        if address.replace(".", "").isdigit():
            assert ip_address(address).is_loopback
        else:
            names.add(address)
    assert "api.weather.com" in names  # resolved by our own name server:
    for resolver in (
        bootstrap["typed_dns_resolver_config"],
        *(node["typed_dns_resolver_config"] for node in _caches(bootstrap)),
    ):
        (server,) = resolver["typed_config"]["resolvers"]
        assert tuple(server["socket_address"].values()) == outside.proxy_dns
    assert bootstrap["cluster_manager"]["upstream_bind_config"]["source_address"] == {
        "address": "127.0.0.1",
        "port_value": 0,
    }


def test_places_stand_for_what_was_declared(program: Program, outside: Outside) -> None:
    """Each endpoint's place is that of its own address and port."""
    clusters = resources(embed(program, SOCKETS, outside, SECRETS), "clusters")

    def dialled(name: str) -> tuple[str, int]:
        (group,) = clusters[name]["load_assignment"]["endpoints"]
        (endpoint,) = group["lb_endpoints"]
        address = endpoint["endpoint"]["address"]["socket_address"]
        return address["address"], address["port_value"]

    static = dialled("outbound|80||static.weather.com")
    assert outside.real(*static) == ("203.0.113.50", 8888)
    assert dialled("outbound|443||api.weather.com") == (
        "api.weather.com",
        outside.port_for(443),
    )
    override = clusters["outbound|9100||target.example.com"]["original_dst_lb_config"]
    assert override == {"upstream_port_override": outside.original_port(9200)}


def test_original_destinations_are_led_to_places(program: Program, outside: Outside) -> None:
    """Each chain to an ORIGINAL_DST cluster begins with the filter that knows the place."""
    original = {it["name"] for it in program.clusters if it.get("type") == "ORIGINAL_DST"}
    assert len(original) >= 4
    led: dict[bool, set[str]] = {True: set(), False: set()}
    for listener in resources(embed(program, SOCKETS, outside, SECRETS), "listeners").values():
        for chain in chains(listener):
            reached = {node.get("cluster") for node in nodes(chain) if "cluster" in node}
            first = chain["filters"][0]["name"]
            led[bool(reached & original)].add(first)
    assert led[True] == {"envoy.filters.network.set_filter_state"}
    assert "envoy.filters.network.set_filter_state" not in led[False]


def test_dynamic_wildcards_dial_places(program: Program, outside: Outside) -> None:
    """A server name is dialled at the port's place, a Host through the filter state."""
    listeners = resources(embed(program, SOCKETS, outside, SECRETS), "listeners")
    (sni,) = typed(listeners["0.0.0.0_443"], "sni_dynamic_forward_proxy.v3.FilterConfig")
    assert sni["port_value"] == outside.port_for(443)
    (manager,) = typed(listeners["0.0.0.0_80"], ".HttpConnectionManager")
    kinds = [item["name"].rpartition(".")[2] for item in manager["http_filters"]]
    assert kinds[:3] == ["lua", "set_filter_state", "header_mutation"]
    (script,) = typed(manager, ".Lua")
    ports = f'["80"]="{outside.port_for(80)}"'
    assert ports in script["default_source_code"]["inline_string"]
    # No other listener's requests reach that cluster, so nothing is added to them.
    (plain,) = typed(listeners["0.0.0.0_8080"], ".HttpConnectionManager")
    assert "lua" not in {item["name"].rpartition(".")[2] for item in plain["http_filters"]}


def test_forward_proxy_filter_reads_the_place(outside: Outside) -> None:
    """Where istiod adds the filter itself, it takes name and port from the filter state."""
    program = compile_contract(loads(DYNAMIC), Workload())
    listener = resources(embed(program, SOCKETS, outside, SECRETS), "listeners")["0.0.0.0_80"]
    (dynamic,) = typed(listener, "http.dynamic_forward_proxy.v3.FilterConfig")
    assert dynamic["allow_dynamic_host_from_filter_state"] is True


def test_connect_timeout(program: Program, outside: Outside) -> None:
    """On loopback a connect takes no time: a hung one ends before the probe does."""
    for places, expected in ((outside, "1s"), (None, "10s")):
        clusters = resources(embed(program, SOCKETS, places, SECRETS), "clusters")
        timeouts = {clusters[it["name"]].get("connect_timeout") for it in program.clusters}
        assert expected in timeouts
        assert ("10s" in timeouts) is (places is None)


def test_mutual_tls_is_left_out(program: Program, outside: Outside) -> None:
    """There is no mesh CA here: clusters of endpoints in the mesh are spoken to in plain text."""
    name = "outbound|8000||inside.example.com"
    given = next(it for it in program.clusters if it["name"] == name)
    assert "transport_socket_matches" in given
    for places in (outside, None):
        cluster = resources(embed(program, SOCKETS, places, SECRETS), "clusters")[name]
        assert not {"transport_socket", "transport_socket_matches"} & set(cluster)


def test_live_leaves_the_outside_alone(program: Program) -> None:
    """With the real outside, addresses, ports, resolvers and chains are the program's own."""
    bootstrap = embed(program, SOCKETS, None, SECRETS)
    assert "cluster_manager" not in bootstrap
    assert "typed_dns_resolver_config" not in bootstrap
    clusters = resources(bootstrap, "clusters")
    for given in program.clusters:
        ours = clusters[given["name"]]
        for key in ("typed_dns_resolver_config", "cluster_type", "original_dst_lb_config"):
            assert ours.get(key) == given.get(key)
    assignments = {it["cluster_name"]: it for it in program.endpoints}
    for name, assignment in assignments.items():
        assert clusters[name]["load_assignment"] == assignment
    filters = {
        item["name"]
        for listener in resources(bootstrap, "listeners").values()
        for chain in chains(listener)
        for item in chain["filters"]
    }
    assert "envoy.filters.network.set_filter_state" not in filters
    assert not typed(bootstrap["static_resources"]["listeners"], ".Lua")


def _caches(bootstrap: dict[str, Any]) -> list[dict[str, Any]]:
    """Every DNS cache of a dynamic forward proxy."""
    found = [node["dns_cache_config"] for node in nodes(bootstrap) if "dns_cache_config" in node]
    assert found
    return found

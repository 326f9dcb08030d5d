"""The program as a whole: origins, purity, scale."""

from __future__ import annotations

import json
from time import process_time

from pytest_egress.contract.contract import Contract
from pytest_egress.contract.resources import Workload
from pytest_egress.envoy import compile_contract
from tests.envoy.build import compiled, entry, sidecar, virtual_service


def test_empty_contract_has_the_fixed_parts() -> None:
    """Without any entry there is virtualOutbound with its two clusters, and nothing else."""
    program = compiled()
    assert [it["name"] for it in program.listeners] == ["virtualOutbound"]
    assert [it["name"] for it in program.clusters] == ["BlackHoleCluster", "PassthroughCluster"]
    assert (program.routes, program.endpoints) == ((), ())
    assert (program.origins, program.listener_origins) == ({}, {})


def test_origins_name_the_entries() -> None:
    """Each cluster and listener can be traced to what declares it, for file and line."""
    web = entry("web.example.com", "80/HTTP", creation_timestamp=1)
    api = entry("api.example.com", "80/HTTP 443/TLS", creation_timestamp=2)
    program = compiled(web, api)
    assert program.origins == {
        "outbound|80||web.example.com": (web,),
        "outbound|80||api.example.com": (api,),
        "outbound|443||api.example.com": (api,),
    }
    assert program.listener_origins == {"0.0.0.0_80": (web, api), "0.0.0.0_443": (api,)}


def test_origin_of_a_host_in_two_namespaces_is_the_one_with_the_cluster() -> None:
    """Where listeners import one host from two namespaces, the first has the clusters."""
    ours = entry("a.example.com", "80/HTTP")
    theirs = entry("a.example.com", "80/HTTP", namespace="shop")
    program = compiled(ours, theirs, sidecar("80/HTTP default/*", "shop/*"))
    assert program.origins == {"outbound|80||a.example.com": (ours,)}


def test_every_name_is_unique() -> None:
    """Envoy refuses two resources of one name, so whatever collides has been merged."""
    program = compiled(
        entry("a.example.com", "80/HTTP 443/TLS", name="x"),
        entry("a.example.com", "80/HTTP 443/TCP", name="y", addresses=("10.0.0.1", "10.0.0.2")),
        entry("a.example.com", "80/HTTP", name="z", namespace="shop"),
        sidecar("80/HTTP */*", "*/*"),
    )
    for resources in (program.listeners, program.routes, program.clusters):
        found = [it["name"] for it in resources]
        assert len(found) == len(set(found))


def test_compiling_is_pure() -> None:
    """The same contract gives the same JSON again; no state is kept and none is changed."""
    resources = [
        entry("u.example.com", "9000/", addresses=("10.0.0.1",)),
        entry("*.example.com", "80/HTTP 443/TLS", resolution="DYNAMIC_DNS"),
        entry("s.example.com", "80/HTTP", resolution="STATIC", location="MESH_INTERNAL"),
    ]

    def text() -> str:
        program = compiled(*resources)
        parts = (program.listeners, program.routes, program.clusters, program.endpoints)
        return json.dumps(parts)

    assert text() == text()


def test_file_order_does_not_matter() -> None:
    """Resources are ordered by age, host, namespace and name, not by place in the file."""
    resources = [entry("a.example.com", "5432/TCP", name=name, endpoints=()) for name in ("x", "y")]
    assert compiled(*resources).listeners == compiled(*reversed(resources)).listeners


def test_many_entries_compile_in_linear_time() -> None:
    """5,000 HTTPS entries take a fraction of a second; a quadratic step would take minutes."""
    entries = tuple(entry(f"h{number}.example.com", "443/HTTPS") for number in range(5000))
    contract = Contract(entries)
    started = process_time()
    program = compile_contract(contract, Workload())
    # Measured: 0.13 s. The bound leaves room for a busy machine.
    assert process_time() - started < 2
    assert len(program.listeners[0]["filter_chains"]) == 5000


def test_routes_know_the_rule_that_made_them() -> None:
    """By the names of route configuration and virtual host, and the route's place."""
    service = virtual_service(
        """{hosts: [a.example.com], http: [
            {match: [{uri: {prefix: /x}}, {uri: {prefix: /y}}], directResponse: {status: 200}},
            {route: [{destination: {host: a.example.com}}]}]}"""
    )
    program = compiled(entry("a.example.com", "80/HTTP"), service)
    rules = {key: str(rule) for key, rule in program.route_rules.items()}
    assert rules == {
        ("80", "a.example.com:80", 0): "default/routes http[0]",
        ("80", "a.example.com:80", 1): "default/routes http[0]",
        ("80", "a.example.com:80", 2): "default/routes http[1]",
    }
    assert (
        program.rule("default/routes http[1]") is program.route_rules["80", "a.example.com:80", 2]
    )

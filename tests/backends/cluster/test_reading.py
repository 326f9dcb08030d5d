"""Records of istiod's own proxy, in the words of the contract."""

from __future__ import annotations

from typing import Any

from pytest_egress.backends.cluster.reading import Reading
from pytest_egress.backends.gateways import compile_gateways
from pytest_egress.contract import loads
from pytest_egress.contract.resources import Workload
from pytest_egress.envoy import compile_contract
from pytest_egress.envoy.instruments import HTTP_CHAIN, sidecar_access_log
from pytest_egress.evidence import Evidence

CONTRACT = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api, namespace: shop}
spec:
  hosts: [api.example.com]
  addresses: [203.0.113.10]
  ports:
  - {number: 80, name: http, protocol: HTTP}
  - {number: 5432, name: tcp, protocol: TCP}
  resolution: DNS
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: rules, namespace: shop}
spec:
  hosts: [api.example.com]
  http:
  - name: old
    match: [{uri: {prefix: /old}}]
    redirect: {uri: /new}
  - route: [{destination: {host: api.example.com}}]
"""


def _read(**record: Any) -> Evidence:
    reading = Reading(compile_contract(loads(CONTRACT), Workload("shop")))
    listeners = ["0.0.0.0_80", "203.0.113.10_5432", "virtualOutbound"]
    reading.use(reading.program, listeners, {"egress-1-shop": "shop"})
    names = dict.fromkeys(sidecar_access_log()["typed_config"]["record"])
    return Evidence.from_record(reading({**names, "listener": "", **record}))


HTTP = {"type": "DownstreamEnd", "http.source": "10.0.0.9:1", "speaks_http": "10.0.0.9:1"}
SERVICE = "/apis/networking.istio.io/v1/namespaces/egress-1-shop/virtual-service/rules"


def test_listener_follows_from_the_destination() -> None:
    """The exact address first, then the port on every address, then the catch-all."""
    tcp = {"type": "NotSet", "tcp.source": "10.0.0.9:1"}
    assert _read(**tcp, destination="203.0.113.10:5432").listener == "203.0.113.10_5432"
    assert _read(**tcp, destination="198.18.0.1:80").listener == "0.0.0.0_80"
    assert _read(**tcp, destination="198.18.0.1:9999").listener == "virtualOutbound"


def test_request_has_its_connections_source_and_route_configuration() -> None:
    """What it says of itself in x-forwarded-for is not looked at."""
    evidence = _read(**HTTP, destination="198.18.0.1:80", route="block_all")
    assert (evidence.kind, evidence.source) == ("http", "10.0.0.9:1")
    assert evidence.route_config == "80"


def test_connection_tells_that_it_speaks_http() -> None:
    """So that its request's record is waited for."""
    connection = {"type": "NotSet", "tcp.source": "s", "destination": "198.18.0.1:80"}
    assert _read(**connection, speaks_http="s").filter_chain == HTTP_CHAIN
    assert _read(**connection).filter_chain == ""
    assert _read(**connection, speaks_http="s", filter_chain="named").filter_chain == "named"


def test_rule_of_a_virtual_service_is_found_by_its_name() -> None:
    """Istiod's metadata names the object, Envoy the route."""
    request = {**HTTP, "destination": "198.18.0.1:80", "http.rule": SERVICE}
    unnamed = _read(**request, route="pytest-egress-http-1")
    assert (unnamed.rule, unnamed.route) == ("shop/rules http[1]", "")
    answered = {"response_code_details": "direct_response", "response_code": 301}
    redirected = _read(**request, route="old", **answered)
    assert (redirected.rule, redirected.answer) == ("shop/rules http[0]", "redirect")
    assert _read(**request, route="else").rule == "shop/rules"


def test_istiods_own_routes_have_no_rule() -> None:
    """Nor do those of other objects."""
    request = {**HTTP, "destination": "198.18.0.1:80", "route": "default"}
    assert _read(**request).rule == ""


GATEWAY_RULE = """
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: egress, namespace: shop}
spec:
  selector: {istio: egressgateway}
  servers:
  - port: {number: 443, name: tls, protocol: HTTPS}
    hosts: [api.example.com]
    tls: {mode: ISTIO_MUTUAL}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: through, namespace: shop}
spec:
  hosts: [api.example.com]
  gateways: [egress]
  http:
  - route: [{destination: {host: nowhere.example.com, port: {number: 80}}}]
---
apiVersion: v1
kind: Service
metadata: {name: gw, namespace: shop}
spec:
  selector: {istio: egressgateway}
  ports: [{name: https, port: 443}]
"""


def _read_gateway(**record: Any) -> Evidence:
    (compiled,) = compile_gateways(loads(CONTRACT + GATEWAY_RULE))
    reading = Reading(compiled.program)
    reading.use(compiled.program, ["0.0.0.0_443"], {"egress-1-shop": "shop"})
    names = dict.fromkeys(sidecar_access_log()["typed_config"]["record"])
    return Evidence.from_record(reading({**names, "listener": "", **record}))


def test_gateway_tells_of_the_cluster_that_does_not_exist() -> None:
    """In the contract's own names, as of a proxy that says it itself."""
    service = "/apis/networking.istio.io/v1/namespaces/egress-1-shop/virtual-service/through"
    found = _read_gateway(
        **HTTP,
        destination="10.244.0.9:443",
        response_flags="NC",
        **{"http.rule": service},
        route_config="https.443.tls.egress.egress-1-shop",
    )
    assert found.rule == "shop/through http[0]"
    assert found.missing_cluster == "outbound|80||nowhere.example.com"
    assert found.ends_tls == "yes"


def test_no_filter_chain_ends_tls_where_none_took_it() -> None:
    """The handshake was not its own matter then."""
    tcp = {"type": "NotSet", "tcp.source": "10.0.0.9:1", "destination": "10.244.0.9:443"}
    assert _read_gateway(**tcp, response_flags="NR").ends_tls == ""
    assert _read_gateway(**tcp).ends_tls == "yes"


def test_namespaces_are_told_as_in_the_contract() -> None:
    """Wherever the cluster's name of one stands in a text."""
    told = _read(
        **HTTP,
        destination="198.18.0.1:80",
        cluster="outbound|80||gw.egress-1-shop.svc.cluster.local",
    )
    assert told.cluster == "outbound|80||gw.shop.svc.cluster.local"

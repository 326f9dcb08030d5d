"""Names in full, delegates inside their roots, age."""

from __future__ import annotations

import pytest

from pytest_egress.contract.resources import MeshConfig
from pytest_egress.contract.virtual_service.resource import HttpRoute, VirtualService
from pytest_egress.envoy.virtual_service.merge import MergedVirtualService, merge_virtual_services
from tests.envoy.build import contract_of, virtual_service


def merged(*services: VirtualService, **mesh: object) -> list[MergedVirtualService]:
    """The VirtualServices with hosts, oldest first."""
    return merge_virtual_services(
        contract_of(*services, mesh=MeshConfig(**mesh))  # type: ignore[arg-type]
    )


def routes(*services: VirtualService, **mesh: object) -> tuple[HttpRoute, ...]:
    """The merged HTTP rules of the only VirtualService with hosts."""
    (only,) = merged(*services, **mesh)
    return only.service.http


def root(match: str = "", **fields: str) -> VirtualService:
    """A VirtualService whose only rule delegates to ``shop/orders``."""
    delegating = f"{{delegate: {{name: orders, namespace: shop}}{match}}}"
    return virtual_service(f"{{hosts: [a.example.com], http: [{delegating}]}}", **fields)


def delegate(match: str = "", spec: str = "") -> VirtualService:
    """``shop/orders``, with one rule."""
    rule = f"{{route: [{{destination: {{host: web}}}}]{match}}}"
    return virtual_service(f"{{http: [{rule}]{spec}}}", name="orders", namespace="shop")


def test_short_names_are_of_the_resources_own_namespace() -> None:
    """Hosts and destinations without dot are Kubernetes Services; IPs and full names stay."""
    spec = """
        hosts: [web, 10.0.0.1]
        http: [{mirror: {host: copy}, route: [{destination: {host: web}}]}]
        tls: [{match: [{sniHosts: [web]}], route: [{destination: {host: db}}]}]
        tcp: [{route: [{destination: {host: db.example.com}}]}]
    """
    (only,) = merged(virtual_service(spec, namespace="shop"))
    service = only.service
    assert service.hosts == ("web.shop.svc.cluster.local", "10.0.0.1")
    assert service.http[0].mirror is not None
    assert service.http[0].mirror.host == "copy.shop.svc.cluster.local"
    assert service.http[0].route[0].destination.host == "web.shop.svc.cluster.local"
    assert service.tls[0].route[0].destination.host == "db.shop.svc.cluster.local"
    assert service.tcp[0].route[0].destination.host == "db.example.com"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("mesh", "mesh"),
        ("egress", "shop/egress"),
        ("istio-system/egress", "istio-system/egress"),
        ("egress.edge.svc.cluster.local", "edge/egress"),
    ],
)
def test_gateway_names(written: str, meant: str) -> None:
    """A Gateway is named from the VirtualService's own namespace, or in the old way as a host."""
    spec = f"""
        hosts: [a.example.com]
        gateways: [{written}]
        http: [{{match: [{{gateways: [{written}]}}], route: [{{destination: {{host: b.test}}}}]}}]
    """
    (only,) = merged(virtual_service(spec, namespace="shop"))
    assert only.service.gateways == only.service.http[0].match[0].gateways == (meant,)


def test_delegates_rules_take_the_place_of_the_delegating_one() -> None:
    """They inherit what they do not say, and know where they stand."""
    service = root(", timeout: 3s, name: all, match: [{uri: {prefix: /api}}]", namespace="edge")
    (only,) = merged(service, delegate(", name: own, match: [{uri: {exact: /api/x}}]"))
    (route,) = only.service.http
    assert (route.name, route.timeout) == ("all-own", 3_000_000_000)
    assert (route.match[0].uri and route.match[0].uri.value) == "/api/x"
    assert route.route[0].destination.host == "web.shop.svc.cluster.local"
    assert [str(rule) for rule in only.http_rules] == [
        "shop/orders http[0] via edge/routes http[0]"
    ]
    assert str(only.http_rules[0].position).startswith("orders.yaml:")


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        ("{uri: {prefix: /api}}", "{uri: {prefix: /other}}"),
        ("{uri: {exact: /api}}", "{uri: {prefix: /api}}"),
        ("{uri: {regex: /a.*}}", "{uri: {exact: /api}}"),
        ("{uri: {prefix: /a}}", "{uri: {regex: /a.*}}"),
        ("{headers: {x: {exact: a}}}", "{headers: {x: {exact: b}}}"),
        ("{queryParams: {x: {exact: a}}}", "{queryParams: {x: {exact: b}}}"),
        ("{port: 80}", "{port: 8080}"),
        ("{ignoreUriCase: true}", "{port: 80}"),
        ("{sourceNamespace: shop}", "{port: 80}"),
        ("{sourceLabels: {app: web}}", "{sourceLabels: {app: batch}}"),
        ("{gateways: [mesh]}", "{gateways: [egress]}"),
    ],
)
def test_delegate_that_asks_for_more_than_its_root_gives_is_left_out(
    outer: str, inner: str
) -> None:
    """A conflict takes the delegate's rule away; without its match it would be there."""
    service = root(f", match: [{outer}]")
    assert routes(service, delegate(f", match: [{inner}]")) == ()
    assert len(routes(service, delegate())) == 1
    assert len(routes(root(), delegate(f", match: [{inner}]"))) == 1


def test_matches_of_both_are_combined() -> None:
    """Each match of the delegate comes once per match of the root that has room for it."""
    outer = ", match: [{uri: {prefix: /a}, headers: {x: {exact: v}}}, {port: 80}]"
    (route,) = routes(root(outer), delegate(", match: [{uri: {prefix: /a/b}, name: in}]"))
    first, second = route.match
    assert (first.uri and first.uri.value, sorted(first.headers), first.name) == (
        "/a/b",
        ["x"],
        "in",
    )
    assert (second.port, second.headers) == (80, {})


@pytest.mark.parametrize("export", ["[.]", "[other]"])
def test_hidden_delegate_is_left_out(export: str) -> None:
    """A delegate must be exported to the root's namespace."""
    assert routes(root(namespace="edge"), delegate(spec=f", exportTo: {export}")) == ()
    assert routes(root(namespace="edge"), delegate(spec=", exportTo: [edge]"))
    assert (
        routes(root(namespace="edge"), delegate(), default_virtual_service_export_to=(".",)) == ()
    )


def test_missing_delegate_is_left_out() -> None:
    """A delegating rule goes with its delegate; the others stay."""
    spec = """
        hosts: [a.example.com]
        http: [{delegate: {name: nowhere}}, {route: [{destination: {host: b.test}}]}]
    """
    (only,) = merged(virtual_service(spec))
    assert [str(rule) for rule in only.http_rules] == ["default/routes http[1]"]


def test_order_is_age_then_name() -> None:
    """The oldest VirtualService of a host wins, so age comes first."""

    def named(name: str, age: float) -> VirtualService:
        spec = "{hosts: [a.example.com], http: [{route: [{destination: {host: b.test}}]}]}"
        return virtual_service(spec, name=name, creation_timestamp=age)

    ordered = merged(named("c", 1), named("b", 2), named("a", 2), named("d", 0))
    assert [it.declared.metadata.name for it in ordered] == ["d", "c", "a", "b"]

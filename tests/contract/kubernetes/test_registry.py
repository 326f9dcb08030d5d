"""The Services and pods that istiod would know, those that no file holds included."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from pytest_egress.contract import Contract, loads
from pytest_egress.contract.gateway.resource import Gateway, Server, ServerPort
from pytest_egress.contract.kubernetes.inferred import destinations, infer
from pytest_egress.contract.kubernetes.registry import cluster_services, gateway_workloads
from pytest_egress.contract.position import Position
from pytest_egress.contract.resources import (
    Metadata,
    OutboundTrafficPolicy,
    ProxyDestination,
    Sidecar,
)
from pytest_egress.contract.virtual_service.resource import (
    Destination,
    HttpRoute,
    HttpRouteDestination,
    RouteDestination,
    TcpRoute,
    VirtualService,
)
from tests.contract.kubernetes.documents import ENTRY, GATEWAY, POD, ROUTES, SERVICE, documents

HOST = "istio-egressgateway.istio-system.svc.cluster.local"


def place(path: tuple[str | int, ...]) -> Position:
    """A position that tells the path."""
    return Position("/".join(map(str, path)))


def gateway(selector: str = "egressgateway", number: int = 80, protocol: str = "HTTP") -> Gateway:
    """A Gateway with one server."""
    return Gateway(
        Metadata("egress"),
        locate=place,
        selector={"istio": selector},
        servers=(Server(ServerPort(number, protocol, "p"), ("api.weather.com",)),),
    )


def leading(
    host: str, port: int = 0, gateways: tuple[str, ...] = ("mesh", "egress"), name: str = "v"
) -> VirtualService:
    """A VirtualService whose only route leads to ``host``."""
    return VirtualService(
        Metadata(name),
        locate=place,
        hosts=("api.weather.com",),
        gateways=gateways,
        http=(HttpRoute(route=(HttpRouteDestination(Destination(host, port=port)),)),),
    )


def contract(*services: VirtualService, gateways: tuple[Gateway, ...] = ()) -> Contract:
    """A contract of these alone."""
    return Contract(virtual_services=services, gateways=gateways)


def test_service_and_its_pods() -> None:
    """A Service of the contract gets an address, its pods too, and they are a gateway."""
    given = loads(documents(SERVICE, POD, GATEWAY, ENTRY))
    [service] = cluster_services(given)
    assert (service.service.cluster_ip, service.inferred) == ("10.96.0.10", None)
    assert [pod.address for pod in service.pods] == ["10.244.0.10"]
    [workload] = gateway_workloads(given)
    assert (workload.name, workload.namespace) == ("istio-egressgateway", "istio-system")
    assert workload.labels["tier"] == "edge"
    assert [it.metadata.name for it in workload.gateways] == ["egress"]
    assert [workload.target_port(number) for number in (80, 443, 9000)] == [8080, 8443, 9000]


def test_pods_are_made_up_for_a_gateway_only() -> None:
    """A Service without pods is a gateway's where a Gateway selects what it selects."""
    [service] = cluster_services(loads(documents(SERVICE, GATEWAY, ENTRY)))
    assert [pod.service_account for pod in service.pods] == ["istio-egressgateway-service-account"]
    alone = loads(documents(SERVICE, ENTRY))
    assert [it.pods for it in cluster_services(alone)] == [()]
    assert gateway_workloads(alone) == ()


def test_inferred_service() -> None:
    """A destination that nothing declares is the Service of the gateway that is bound."""
    given = contract(leading(HOST, 443), gateways=(gateway(),))
    [service] = cluster_services(given)
    assert service.service.host == HOST
    assert [(it.number, it.name) for it in service.service.ports] == [(80, "http2"), (443, "https")]
    assert service.inferred == place(("spec", "http", 0, "route", 0, "destination", "host"))
    [workload] = gateway_workloads(given)
    assert workload.labels == {"app": "istio-egressgateway", "istio": "egressgateway"}
    assert workload.gateways == given.gateways
    assert workload.target_port(443) == 443


def test_inferred_labels_follow_the_gateway() -> None:
    """Pods of a gateway with a name of its own have the labels that its Gateway selects."""
    edge = "edge.gateways.svc.cluster.local"
    [workload] = gateway_workloads(contract(leading(edge), gateways=(gateway("outbound"),)))
    assert (workload.namespace, workload.labels["istio"]) == ("gateways", "outbound")
    assert len(workload.gateways) == 1


def test_installed_gateway_keeps_its_labels() -> None:
    """A Gateway that selects what Istio's own gateway has not is for no pod."""
    [workload] = gateway_workloads(contract(leading(HOST), gateways=(gateway("egresgateway"),)))
    assert workload.labels["istio"] == "egressgateway"
    assert workload.gateways == ()


def test_gateway_bound_by_another_virtual_service() -> None:
    """The rule for the mesh and that for the gateway may stand in two resources."""
    edge = "edge.gateways.svc.cluster.local"
    to_gateway = leading(edge, gateways=("mesh",))
    onwards = leading("api.weather.com", gateways=("egress",), name="onwards")
    given = contract(to_gateway, onwards, gateways=(gateway("outbound"),))
    assert [it.labels["istio"] for it in gateway_workloads(given)] == ["outbound"]
    assert gateway_workloads(replace(given, virtual_services=(to_gateway,))) == ()


def test_short_name_and_old_names_of_gateways() -> None:
    """Names are read as istiod reads them."""
    for name in ("egress", "default/egress", "./egress", "egress.default.svc.cluster.local"):
        service = leading("edge", gateways=("mesh", name))
        [workload] = gateway_workloads(contract(service, gateways=(gateway("outbound"),)))
        assert (workload.name, workload.namespace) == ("edge", "default")


@pytest.mark.parametrize(
    "host", ["api.weather.com", "reviews.default.svc.cluster.local", "*.svc.cluster.local"]
)
def test_other_destinations_are_no_gateways(host: str) -> None:
    """An external host, and a service of the cluster that no Gateway has to do with."""
    assert cluster_services(contract(leading(host, gateways=("mesh",)))) == ()


def test_declared_destination_is_not_inferred() -> None:
    """A ServiceEntry for the host declares it."""
    entry = loads(ENTRY.replace("api.weather.com", HOST)).service_entries
    given = replace(contract(leading(HOST), gateways=(gateway(),)), service_entries=entry)
    assert cluster_services(given) == ()


def test_port_names_tell_protocols() -> None:
    """A port is named after the server's protocol, else after the kind of route."""
    tcp = VirtualService(
        Metadata("t"),
        locate=place,
        hosts=("db.example.com",),
        gateways=("mesh", "egress"),
        tcp=(TcpRoute(route=(RouteDestination(Destination(HOST, port=5432)),)),),
    )
    given = contract(leading(HOST), tcp, gateways=(gateway(number=27017, protocol="MONGO"),))
    [service] = cluster_services(given)
    names = {it.number: it.name for it in service.service.ports}
    assert names == {5432: "tcp-5432", 27017: "mongo-27017"}


def test_egress_proxy_leads_to_a_gateway() -> None:
    """A Sidecar's egressProxy names the gateway too."""
    sidecar = Sidecar(
        Metadata("s"),
        locate=place,
        outbound_traffic_policy=OutboundTrafficPolicy("ALLOW_ANY", ProxyDestination(HOST, 3128)),
    )
    [service] = cluster_services(Contract(sidecars=(sidecar,)))
    assert [(it.number, it.name) for it in service.service.ports] == [(3128, "tcp-3128")]
    assert service.inferred == place(("spec", "outboundTrafficPolicy", "egressProxy", "host"))


def test_each_virtual_service_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many Services they lead to: contracts with thousands of both are read quickly."""
    read: list[VirtualService] = []

    def counted(
        service: VirtualService,
    ) -> Iterator[tuple[Destination, str, Callable[[], Position]]]:
        read.append(service)
        return destinations(service)

    monkeypatch.setattr("pytest_egress.contract.kubernetes.inferred.destinations", counted)
    hosts = [f"istio-egressgateway.ns{i}.svc.cluster.local" for i in range(50)]
    services = [leading(host, 8000 + i, name=f"v{i}") for i, host in enumerate(hosts)]
    found = list(infer(contract(*services)))
    assert [(it.host, it.ports[0].number) for it, _ in found] == [
        (host, 8000 + i) for i, host in enumerate(hosts)
    ]
    assert read == services


def test_a_gateway_without_selector_is_for_every_pod_that_routes_lead_to() -> None:
    """Istio gives such a Gateway to all pods; those that nothing leads to need no proxy."""
    everyone = GATEWAY.replace("{istio: egressgateway}", "{}")
    [found] = gateway_workloads(loads(documents(SERVICE, POD, ENTRY, everyone, ROUTES)))
    assert [it.metadata.name for it in found.gateways] == ["egress"]
    assert found.target_port(443) == 8443
    assert gateway_workloads(loads(documents(SERVICE, POD, ENTRY, everyone))) == ()

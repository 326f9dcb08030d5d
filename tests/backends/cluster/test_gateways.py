"""The way into a gateway's pod, and how its records are tied to the sidecar's."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_egress.backends.cluster.entrance import Entrance
from pytest_egress.backends.cluster.gateways import ClusterGateway, ClusterGateways
from pytest_egress.evidence import Evidence

ADDRESS = "10.244.0.9"
PLACE = f"{ADDRESS}:8080"
CLIENT = "10.244.0.8:4711"


@dataclass
class FakeConnection:
    """Connects at once, from ports that are counted."""

    cuts: list[int] = field(default_factory=list)
    ends: list[socket.socket] = field(default_factory=list)

    def dial_later(
        self, address: str, port: int, timeout: float, connected: Callable[[int, str], None]
    ) -> socket.socket:
        """Tell the source."""
        del port, timeout
        ours, theirs = socket.socketpair()
        self.ends += [ours, theirs]
        number = len(self.ends) // 2
        connected(number, f"{address}:{number}")
        return ours

    def cut(self, number: int) -> None:
        """Take note."""
        self.cuts.append(number)


class FakeProxy:
    """Has records by source, and a control that passes or not."""

    def __init__(self) -> None:
        self.records: dict[str, list[Evidence]] = {}
        self.control_failure = ""
        self.looks = 0
        self.witness = SimpleNamespace(pick=self._pick, troubled=False)

    def look(self) -> None:
        """Take note."""
        self.looks += 1

    def _pick(self, source: str, wanted: Callable[[Evidence], bool], _: float) -> Evidence | None:
        found = next(filter(wanted, self.records.get(source, [])), None)
        if found is not None:
            self.records[source].remove(found)
        return found


@pytest.fixture
def connection() -> Any:
    """The stream to the agent of the gateway's pod."""
    connection = FakeConnection()
    yield connection
    for end in connection.ends:
        end.close()


@pytest.fixture
def entrance(connection: FakeConnection) -> Entrance:
    """The way in, to port 8080."""
    agent: Any = SimpleNamespace(alive=lambda: True, connection=connection)
    entrance = Entrance(agent)
    entrance.ports = frozenset({8080})
    return entrance


@pytest.fixture
def proxy() -> FakeProxy:
    """The gateway's."""
    return FakeProxy()


@pytest.fixture
def gateways(entrance: Entrance, proxy: FakeProxy) -> ClusterGateways:
    """A contract with one."""
    compiled: Any = SimpleNamespace(
        workload=SimpleNamespace(name="gw", namespace="istio-system"),
        program=SimpleNamespace(clusters=()),
        closed={443: "no Gateway has a server on port 443"},
    )
    whole: Any = proxy
    gateway = ClusterGateway(compiled, whole, entrance, ADDRESS)
    return ClusterGateways([gateway], 0, lambda: 0)


SIDECAR = Evidence(
    "http",
    "10.244.0.8:1",
    "198.18.0.1:80",
    "0.0.0.0_80",
    upstream_host=PLACE,
    upstream_local_address=CLIENT,
    request_id="id-1",
)
GATEWAY = replace(
    SIDECAR, source=f"{ADDRESS}:1", upstream_host="198.18.0.1:443", cluster="outbound|443||a"
)


def test_port_without_a_listener_is_refused(entrance: Entrance) -> None:
    """As by a pod that nobody listens in."""
    assert entrance.enter(CLIENT, (ADDRESS, 443)) is None
    assert entrance.enter(CLIENT, (ADDRESS, 8080)) is not None


def test_record_of_the_same_request(
    entrance: Entrance, gateways: ClusterGateways, proxy: FakeProxy
) -> None:
    """By the connection that was let in, and the request's id on it."""
    entrance.enter(CLIENT, (ADDRESS, 8080))
    other = replace(GATEWAY, request_id="id-0")
    proxy.records[f"{ADDRESS}:1"] = [other, GATEWAY]
    way = gateways.follow(SIDECAR)
    assert way is not None
    assert way.evidence == replace(GATEWAY, proxy="gw.istio-system", destination=PLACE)
    assert [hop.proxy for hop in way.hops] == ["sidecar", "gw.istio-system"]
    assert proxy.records[f"{ADDRESS}:1"] == [other]


def test_connection_that_the_sidecar_never_had(
    entrance: Entrance, gateways: ClusterGateways, proxy: FakeProxy
) -> None:
    """Where no handshake was completed its record names no address of its own: the last is it."""
    for port in (4711, 4712):
        entrance.enter(f"10.244.0.8:{port}", (ADDRESS, 8080))
    failed = replace(GATEWAY, kind="connection", request_id="", cluster="", source=f"{ADDRESS}:2")
    proxy.records[f"{ADDRESS}:2"] = [failed]
    way = gateways.follow(replace(SIDECAR, upstream_local_address=""))
    assert way is not None
    assert way.evidence is not None
    assert way.evidence.source == f"{ADDRESS}:2"
    assert proxy.looks == 1


def test_nothing_listens(gateways: ClusterGateways, proxy: FakeProxy) -> None:
    """The reason is the contract's; the gateway's control is passed again before that is told."""
    evidence = replace(SIDECAR, upstream_host=f"{ADDRESS}:443")
    way = gateways.follow(evidence)
    assert way is not None
    assert way.evidence is evidence
    assert way.hops[1].refusal == (
        "nothing listens on port 443: no Gateway has a server on port 443"
    )
    assert proxy.looks == 1


def test_answer_over_a_kept_connection(
    entrance: Entrance, gateways: ClusterGateways, proxy: FakeProxy
) -> None:
    """That something listened is not denied, though nothing does any more."""
    entrance.enter(CLIENT, (ADDRESS, 8080))
    entrance.ports = frozenset()
    proxy.records[f"{ADDRESS}:1"] = [GATEWAY]
    way = gateways.follow(replace(SIDECAR, response_code_details="via_upstream"))
    assert way is not None
    assert not way.hops[1].refusal
    assert way.hops[1].evidence is not None


def test_no_record(entrance: Entrance, gateways: ClusterGateways) -> None:
    """It proves nothing."""
    entrance.enter(CLIENT, (ADDRESS, 8080))
    way = gateways.follow(SIDECAR)
    assert way is not None
    assert way.hops[1].evidence is None
    assert not way.hops[1].refusal


def test_what_leads_elsewhere(gateways: ClusterGateways) -> None:
    """It is no gateway's matter."""
    assert gateways.follow(replace(SIDECAR, upstream_host="198.18.0.7:80")) is None


def test_pools_do_not_keep_connections(entrance: Entrance, connection: FakeConnection) -> None:
    """Each that was let in is cut, once."""
    entrance.enter(CLIENT, (ADDRESS, 8080))
    entrance.cut()
    entrance.cut()
    assert connection.cuts == [1]

"""What istiod accepts and Envoy refuses: an error with Envoy's words and the resource's place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_egress.backends.local import LocalBackend
from pytest_egress.contract import Problem, loads
from pytest_egress.contract.resources import MeshConfig, Workload
from pytest_egress.errors import BackendError, ContractError
from tests.observed import destination_rule, document, documents, entry

GOOD = entry("good", "good.example.com", {443: "TLS", 80: "HTTP"})
PARTIAL = entry("partial", ["a.example.com", "*foo.example.com"], {443: "TLS"}, "NONE")
RACE = entry(
    "race",
    "race.example.com",
    {443: "TLS"},
    endpoints=[{"address": "a.example.com"}, {"address": "b.example.com"}],
).replace(
    "name: race\n",
    "name: race\n  annotations: {istio.io/connect-strategy: RACE_FIRST_TCP_CONNECT}\n",
)
POOL = destination_rule(
    "pool",
    "*.example.com",
    trafficPolicy={
        "portLevelSettings": [
            {"port": {"number": 80}, "connectionPool": {"http": {"idleTimeout": "5s"}}}
        ]
    },
)
TLS_AND_HTTP = entry("a", ["a.example.com", "b.example.com"], {443: "TLS", 80: "HTTP"})
ROUTE = [{"destination": {"host": "a.example.com"}}]
DYNAMIC = entry("dynamic", "*.example.com", {80: "HTTP", 81: "GRPC"}, "DYNAMIC_DNS")


@pytest.fixture
def fresh() -> Iterator[LocalBackend]:
    """A backend of its own."""
    backend = LocalBackend()
    yield backend
    backend.close()


def refused(
    backend: LocalBackend, text: str, mesh: MeshConfig | None = None, namespace: str = "default"
) -> tuple[Problem, ...]:
    """What the backend says against a contract."""
    contract = loads(text, file="egress.yaml", mesh=mesh)
    with pytest.raises(ContractError) as caught:
        backend.enforce(contract, Workload(namespace))
    return caught.value.problems


@pytest.mark.parametrize(
    ("text", "place", "part", "words", "mend"),
    [
        (PARTIAL, "9:5", "listener 0.0.0.0_443", "partial wildcards are not", "Give whole labels"),
        (
            entry("own", "own.example.com", {443: "TLS", 15001: "TCP"}),
            "13:5", "listener 0.0.0.0_15001", "has duplicate address '0.0.0.0:15001'", "give addr",
        ),
        (
            entry("own", "own.example.com", {15006: "TLS"}),
            "10:5", "listener 0.0.0.0_15006", "has duplicate address '0.0.0.0:15006'", "give addr",
        ),
        (
            entry("own", "own.example.com", {15090: "TCP"}, "NONE"),
            "10:5", "listener 0.0.0.0_15090", "has duplicate address '0.0.0.0:15090'", "give addr",
        ),
        (RACE, "16:3", "cluster outbound|443||race.example.com", "LOGICAL_DNS", "one endpoint"),
        (
            DYNAMIC, "13:5", "cluster outbound|81||*.example.com",
            "dynamic_forward_proxy cluster must have auto_sni", "use HTTP or TLS",
        ),
        (
            documents(entry("dynamic", "*.example.com", {80: "HTTP"}, "DYNAMIC_DNS"), POOL),
            "27:9", "cluster outbound|80||*.example.com",
            "dynamic_forward_proxy cluster must have auto_sni", "a DestinationRule that adds TLS",
        ),
    ],
    ids=["partial wildcard", "15001", "15006", "15090", "race", "dynamic", "pool"],
)  # fmt: skip
def test_known_refusals(
    fresh: LocalBackend, text: str, place: str, part: str, words: str, mend: str
) -> None:
    """Each at the value that makes it; entries that are good are not blamed."""
    found = refused(fresh, documents(text, GOOD))
    assert [str(problem.position) for problem in found] == [f"egress.yaml:{place}"]
    assert found[0].rule == "envoy/refused"
    assert found[0].message.startswith(f"Envoy refuses {part}, which istiod makes of this: ")
    assert words in found[0].message
    assert mend in found[0].message


SERVICE = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: good, namespace: default}
spec:
  hosts: [good.example.com]
  http:
  - match: [{uri: {exact: /old}}]
    redirect: {uri: /new}
  - match: [{uri: {exact: /many}}]
    redirect: {uri: /new, redirectCode: 300}
  - route: [{destination: {host: good.example.com, port: {number: 80}}}]
"""


def test_a_route_of_a_virtual_service(fresh: LocalBackend) -> None:
    """The rule that made the route is blamed, in the words that matter of Envoy's many."""
    (found,) = refused(fresh, documents(GOOD, SERVICE))
    place = GOOD.count("\n") + 10
    assert str(found.position) == f"egress.yaml:{place}:5"
    assert found.message.startswith(
        "Envoy refuses route 1, virtual host good.example.com:80, listener 0.0.0.0_80, which "
        'istiod makes of this: "Proto constraint validation failed (field: "action", reason: is '
    )


def routes(*, hosts: tuple[str, ...] = ("a.example.com",), **spec: Any) -> str:
    """An entry that is good, and a VirtualService for it whose rules begin at line 28."""
    service = document("VirtualService", "vs", "default", {"hosts": [*hosts], **spec})
    return documents(TLS_AND_HTTP, service)


@pytest.mark.parametrize(
    ("text", "place", "part", "words"),
    [
        (
            routes(http=[{"redirect": {"uri": "/x", "redirectCode": 304}}]),
            "28:5", "route 0, virtual host a.example.com:80",
            'Proto constraint validation failed (field: "action", reason: is required)"',
        ),
        (
            routes(
                http=[
                    {"match": [{"uri": {"prefix": "/x"}}], "route": ROUTE},
                    {"directResponse": {"status": 600}},
                ]
            ),
            "34:5", "route 1, virtual host a.example.com:80",
            "(DirectResponseActionValidationError.Status: value must be inside range [200, 600))",
        ),
        (
            routes(http=[{"headers": {"request": {"set": {"a": "%FOO%"}}}, "route": ROUTE}]),
            "28:5", "route 0, virtual host a.example.com:80", "Not supported field in StreamInfo",
        ),
        (
            routes(
                hosts=("*a.example.com",),
                tls=[
                    {"match": [{"sniHosts": ["a.example.com", "*a.example.com"]}], "route": ROUTE}
                ],
            ),
            "31:9", "listener 0.0.0.0_443", "partial wildcards are not supported",
        ),
        (
            routes(
                hosts=("a.example.com", "b.example.com"),
                tls=[
                    {"match": [{"sniHosts": ["a.example.com"]}], "route": ROUTE},
                    {"match": [{"sniHosts": ["a.example.com", "b.example.com"]}], "route": ROUTE},
                ],
            ),
            "35:5", "listener 0.0.0.0_443",
            'are defined". Give each server name to one rule (see also egress.yaml:29:5)',
        ),
    ],
    ids=["redirect", "direct response", "header", "partial wildcard", "overlap"],
)  # fmt: skip
def test_refusals_of_virtual_services(
    fresh: LocalBackend, text: str, place: str, part: str, words: str
) -> None:
    """Each at the rule that makes it; the entry is good."""
    found = refused(fresh, text)
    assert [str(problem.position) for problem in found] == [f"egress.yaml:{place}"]
    assert part in found[0].message
    assert words in found[0].message


def test_a_delegate_s_refusal_names_its_root_too(fresh: LocalBackend) -> None:
    """Either can be what Envoy refuses: headers of both are in the route."""
    delegate = document(
        "VirtualService", "delegate", "default", {"http": [{"directResponse": {"status": 600}}]}
    )
    found = refused(fresh, documents(routes(http=[{"delegate": {"name": "delegate"}}]), delegate))
    assert [str(problem.position) for problem in found] == ["egress.yaml:38:5"]
    assert "(see also egress.yaml:28:5)" in found[0].message


def test_an_address_is_not_the_rule_s(fresh: LocalBackend) -> None:
    """The port is the entry's, though a rule leads its connections elsewhere."""
    text = documents(
        entry("own", "own.example.com", {15001: "TCP"}),
        document(
            "VirtualService",
            "vs",
            "default",
            {"hosts": ["own.example.com"], "tcp": [{"match": [{"port": 15001}], "route": ROUTE}]},
        ),
        TLS_AND_HTTP,
    )
    found = refused(fresh, text)
    assert [problem.position.line for problem in found] == [10]
    assert "has duplicate address" in found[0].message


def test_what_shapes_several_clusters_is_told_once(fresh: LocalBackend) -> None:
    """At the block of the DestinationRule, with Envoy's words and not all that it was given."""
    hashed = {"httpHeaderName": "x", "ringHash": {"minimumRingSize": 9_000_000}}
    policy = {"loadBalancer": {"consistentHash": hashed}}
    rule = destination_rule("ring", "a.example.com", trafficPolicy=policy)
    found = refused(fresh, documents(TLS_AND_HTTP, rule))
    assert [str(problem.position) for problem in found] == ["egress.yaml:28:7"]
    assert (
        '"Proto constraint validation failed (RingHashLbConfigValidationError.MinimumRingSize: '
        'value must be less than or equal to 8388608)"'
    ) in found[0].message


def test_all_of_them_at_once(fresh: LocalBackend) -> None:
    """Every refused resource is named, not only the first that Envoy met."""
    found = refused(fresh, documents(RACE, PARTIAL, GOOD, DYNAMIC))
    assert sorted(problem.position.line for problem in found) == [16, 27, 63]


def test_the_mesh_says_which_port_is_the_proxy_s(fresh: LocalBackend) -> None:
    """Another inbound port of the proxy is taken as well."""
    text = entry("own", "own.example.com", {16006: "TCP"})
    mesh = MeshConfig(proxy_inbound_listen_port=16006)
    assert "'0.0.0.0:16006'" in refused(fresh, text, mesh)[0].message
    fresh.enforce(loads(text), Workload())


def test_who_does_not_see_it_is_not_concerned(fresh: LocalBackend) -> None:
    """A private entry breaks its own namespace only."""
    text = documents(
        PARTIAL.replace("resolution: NONE", 'resolution: NONE\n  exportTo: ["."]'), GOOD
    )
    fresh.enforce(loads(text), Workload("elsewhere"))
    assert refused(fresh, text)


def test_an_unknown_refusal_is_found_when_envoy_ends(
    fresh: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Envoy's end makes the search begin; its result is kept."""
    monkeypatch.setattr("pytest_egress.envoy.pod.may_be_refused", lambda *_: False)
    asked: list[Path] = []
    from pytest_egress.backends import refusal

    real = refusal._objection

    def objection(envoy: Path, file: Path, timeout: float) -> str:
        asked.append(file)
        return real(envoy, file, timeout)

    monkeypatch.setattr(refusal, "_objection", objection)
    text = documents(PARTIAL, GOOD)
    first = refused(fresh, text)
    assert [problem.position.line for problem in first] == [9]
    number = len(asked)
    assert number
    assert not any(file.exists() for file in asked)
    assert refused(fresh, text) == first
    assert len(asked) == number


def test_a_search_without_result_tells_what_envoy_said(
    fresh: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When no resource can be named, Envoy's own output is the message."""
    monkeypatch.setattr("pytest_egress.envoy.pod.may_be_refused", lambda *_: False)
    monkeypatch.setattr("pytest_egress.backends.refusal._PATIENCE", 0.0)
    with pytest.raises(BackendError) as caught:
        fresh.enforce(loads(PARTIAL), Workload())
    assert "partial wildcards are not supported" in caught.value.output
    assert 'partial wildcard "*foo.example.com" is refused by Envoy' in caught.value.next_step

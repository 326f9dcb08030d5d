"""The ways, tried under contracts that open and close them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pytest_egress.backends.local import LocalBackend
from pytest_egress.bypass.bypass import WAYS, Bypass
from pytest_egress.bypass.redirection import Packet, Redirection, decide
from pytest_egress.bypass.ways import Observe, find
from pytest_egress.contract import loads
from pytest_egress.egress import Egress
from tests.observed import documents, entry

CONTRACT = documents(
    entry("weather", "api.weather.com", {443: "HTTPS", 80: "HTTP"}),
    entry("wide", "*.none.com", {443: "TLS"}, "NONE"),
    entry("db", "db.example.com", {9090: "TCP"}, "NONE"),
    entry("cache", "cache.example.com", {6379: "TCP"}, addresses=["203.0.113.66"]),
)
STRANGER = "198.51.100.66"  # the first that the contract does not speak of


def by_rules(asked: Redirection, packets: Sequence[Packet]) -> Sequence[str] | None:
    """No kernel."""
    return None


def ways(
    backend: LocalBackend,
    *,
    policy: str = "REGISTRY_ONLY",
    observe: Observe = by_rules,
    **annotations: str,
) -> dict[str, Bypass]:
    """What is found, by way and target."""
    outcomes: list[object] = []
    pod = Egress(backend, loads(CONTRACT, file="c.yaml"), on_outcome=outcomes.append)
    pod = pod.with_policy(policy)  # type: ignore[arg-type]  # one of the two
    values = {f"traffic.sidecar.istio.io/{name}": value for name, value in annotations.items()}
    found = list(find(pod, [], values or None, observe))
    assert not outcomes  # they are not the test's own
    assert all(it.enforced_by == WAYS[it.way] for it in found)
    return {f"{it.way} {it.target}": it for it in found}


def test_past_the_proxy(backend: LocalBackend) -> None:
    """UDP, the proxy's user, what annotations leave out: by the rules, where no kernel is."""
    found = ways(
        backend,
        excludeOutboundPorts="5432",
        excludeOutboundIPRanges="10.1.0.0/16",
        includeOutboundIPRanges="10.0.0.0/8",
    )
    past = {name: it for name, it in found.items() if it.shown_by != "proxy"}
    assert {name: it.open for name, it in past.items()} == {
        "udp-443 udp://203.0.113.66:443": True,
        "udp-53 udp://203.0.113.66:53": True,
        "user-1337 tcp://203.0.113.66:443 (user 1337)": True,
        "excluded-port tcp://203.0.113.66:5432": True,
        "excluded-range tcp://10.1.0.1:443": True,
        "not-included tcp://203.0.113.66:443": True,
    }
    assert {it.shown_by for it in past.values()} == {"rules"}


def test_through_the_proxy(backend: LocalBackend) -> None:
    """A real Envoy: what dials the address on the wire can be led anywhere."""
    found = {name: it for name, it in ways(backend).items() if it.shown_by == "proxy"}
    assert {name: it.open for name, it in found.items()} == {
        f"raw-address tls://{STRANGER}:443": False,
        f"other-address https://api.weather.com:443/ at {STRANGER}": False,
        "inner-host https://api.weather.com:443/ with Host elsewhere.pytest-egress.invalid": True,
        f"raw-address http://{STRANGER}:80": False,
        f"other-address http://api.weather.com:80/ at {STRANGER}": False,
        f"other-address tls://egress-bypass.none.com:443 at {STRANGER}": True,
        f"raw-address tcp://{STRANGER}:9090": True,
        f"raw-address tcp://{STRANGER}:6379": False,
    }
    astray = found[f"other-address tls://egress-bypass.none.com:443 at {STRANGER}"]
    assert str(astray.position) == "c.yaml:25:5"
    assert astray.reason == (f"outbound|443||*.none.com dialled {STRANGER}, which nothing declares")


def test_an_open_mesh_is_open(backend: LocalBackend) -> None:
    """Any address on any port."""
    found = ways(backend, policy="ALLOW_ANY")
    assert found[f"raw-address tls://{STRANGER}:443"].open is True


def test_a_kernel_that_does_otherwise_proves_nothing(backend: LocalBackend) -> None:
    """Neither open nor closed is told then; with a control that fails neither."""

    def other(asked: Redirection, packets: Sequence[Packet]) -> Sequence[str]:
        return ["agent" for _ in packets]

    found = ways(backend, observe=other)["udp-443 udp://203.0.113.66:443"]
    assert (found.open, found.shown_by) == (None, "kernel")

    def control(asked: Redirection, packets: Sequence[Packet]) -> Sequence[str]:
        return [*(decide(asked.rules(), packet)[0] for packet in packets[:-1]), ""]

    assert ways(backend, observe=control)["udp-443 udp://203.0.113.66:443"].open is None


def test_a_pod_without_a_sidecar_is_open_as_a_whole(backend: LocalBackend) -> None:
    """Nothing of it is redirected."""
    pod = Egress(backend, loads(CONTRACT))
    found = next(iter(find(pod, [], {"sidecar.istio.io/inject": "false"}, by_rules)))
    assert (found.way, found.open) == ("no-sidecar", True)


def test_ways_travel() -> None:
    """As plain values and back."""
    way = Bypass("udp-443", "udp://x:443", None, "rules", "because", WAYS["udp-443"])
    assert Bypass.from_json(way.to_json()) == way


@pytest.mark.parametrize("way", WAYS)
def test_each_way_is_documented_with_who_stops_it(way: str) -> None:
    """A row of docs/bypass.md."""
    from tests.docs.pages import DOCS

    rows = {row["way"].strip("`"): row["stopped by"] for row in DOCS["bypass"].rows(*COLUMNS)}
    assert rows[way] == WAYS[way]


COLUMNS = ("way", "is", "stopped by")

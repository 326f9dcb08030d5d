"""The application's own coroutines, captured."""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("httpx", reason="httpx is not installed")

from payments import DeclinedError, charge_all

PROVIDER = "api.payments.example"
GATEWAY = "istio-egressgateway.istio-system"


def test_orders_are_charged_and_nobody_else_is_called(egress, egress_upstreams):
    """Five charges at once, all of them to the provider."""
    egress_upstreams[PROVIDER].respond(200, body=b'{"id": "ch_1"}')
    with egress.capture() as calls:
        assert asyncio.run(charge_all({f"order-{n}": 100 for n in range(5)})) == ["ch_1"] * 5
    calls.assert_only(f"{PROVIDER}:443")
    assert len(egress_upstreams.requests) == 5


def test_charges_leave_through_the_egress_gateway(egress, egress_upstreams):
    """Every connection passes two proxies, and it is the gateway that reaches the provider."""
    egress_upstreams[PROVIDER].respond(200, body=b'{"id": "ch_1"}')
    with egress.capture() as calls:
        asyncio.run(charge_all({"order-1": 100, "order-2": 200}))
    assert {tuple(hop.proxy for hop in call.hops) for call in calls} == {("sidecar", GATEWAY)}
    assert {call.evidence.cluster for call in calls} == {f"outbound|443||{PROVIDER}"}


@pytest.mark.egress_contract("../egress/payments.yaml", "../egress/route.yaml")
def test_charge_is_blocked_at_a_gateway_that_nobody_has_opened(egress):
    """The route alone is not enough: without the Gateway, nothing listens there."""
    with egress.capture(on_blocked="allow") as calls, pytest.raises(DeclinedError):
        asyncio.run(charge_all({"order-1": 100}))
    assert calls.blocked.hosts == {PROVIDER}
    assert [hop.proxy for hop in calls[0].hops] == ["sidecar", GATEWAY]


def test_busy_provider_is_asked_again(egress, egress_upstreams):
    """Twice 503, then it works: three requests with the same key."""
    provider = egress_upstreams[PROVIDER].respond(200, body=b'{"id": "ch_2"}').fail(503, times=2)
    with egress.capture():
        assert asyncio.run(charge_all({"order-1": 100})) == ["ch_2"]
    assert len({request.body for request in provider.requests}) == 1
    assert provider.count == 3


def test_provider_that_is_down_charges_nobody(egress, egress_upstreams):
    """Allowed by the contract, refused by the other side."""
    egress_upstreams[PROVIDER].refuse()
    with egress.capture() as calls, pytest.raises(DeclinedError):
        asyncio.run(charge_all({"order-1": 100}))
    assert calls.unreachable


def test_charge_is_blocked_without_the_entry(egress):
    """What checkout does in a mesh that does not know the provider."""
    pod = egress.without(PROVIDER)
    with pod.capture(on_blocked="allow") as calls, pytest.raises(DeclinedError):
        asyncio.run(charge_all({"order-1": 100}))
    assert calls.blocked.hosts == {PROVIDER}

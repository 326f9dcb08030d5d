"""The application's own coroutines, captured."""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("httpx", reason="httpx is not installed")

from payments import DeclinedError, charge_all

PROVIDER = "api.payments.example"


def test_orders_are_charged_and_nobody_else_is_called(egress, egress_upstreams):
    """Five charges at once, all of them to the provider."""
    egress_upstreams[PROVIDER].respond(200, body=b'{"id": "ch_1"}')
    with egress.capture() as calls:
        assert asyncio.run(charge_all({f"order-{n}": 100 for n in range(5)})) == ["ch_1"] * 5
    calls.assert_only(f"{PROVIDER}:443")
    assert len(egress_upstreams.requests) == 5


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

"""A program that is not Python's, unchanged, behind the contract."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

NODE = shutil.which("node")
ORDERS = str(Path(__file__).parents[1] / "orders.js")
pytestmark = [
    pytest.mark.skipif(NODE is None, reason="there is no node in PATH"),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="network namespaces: Linux"),
]


def test_order_calls_what_is_declared(egress, egress_upstreams):
    """Both hosts answer, and nothing else is called."""
    egress_upstreams["stock.example.com"].respond(200, body=b'{"left": 3}')
    egress_upstreams["prices.example.com"].respond(200, body=b'{"euros": 12.5}')
    done = egress.run([NODE, ORDERS, "lamp"], check=True)
    assert json.loads(done.stdout) == {"item": "lamp", "euros": 12.5}
    done.calls.assert_only("stock.example.com:443", "prices.example.com:443")
    assert [request.path for request in egress_upstreams.requests] == ["/items/lamp"] * 2


def test_order_fails_where_a_host_is_not_declared(egress):
    """What the user would see in the mesh, and which call it was."""
    done = egress.without("stock.example.com").run([NODE, ORDERS, "lamp"], on_blocked="allow")
    assert done.returncode == 1
    assert done.calls.blocked.hosts == {"stock.example.com"}


def test_price_service_is_down(egress, egress_upstreams):
    """The contract lets the call through; the other side refuses it."""
    egress_upstreams["stock.example.com"].respond(200, body=b'{"left": 3}')
    egress_upstreams["prices.example.com"].refuse()
    done = egress.run([NODE, ORDERS, "lamp"])
    assert done.returncode == 1
    assert len(done.calls.unreachable) == 1

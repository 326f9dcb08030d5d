"""Hash policies as istiod writes them."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_egress.contract.destination_rule.resource import ConsistentHash, HttpCookie
from pytest_egress.envoy.traffic_policy.hashing import route_hash_policy


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (ConsistentHash(http_header_name="x-user"), {"header": {"header_name": "x-user"}}),
        (ConsistentHash(http_query_parameter_name="q"), {"query_parameter": {"name": "q"}}),
        (ConsistentHash(), {}),
        (ConsistentHash(ring_size=512), {}),
        (ConsistentHash(use_source_ip=False), {"connection_properties": {}}),
        (ConsistentHash(use_source_ip=True), {"connection_properties": {"source_ip": True}}),
        (ConsistentHash(http_cookie=HttpCookie("c")), {"cookie": {"name": "c"}}),
        (
            ConsistentHash(
                http_cookie=HttpCookie(
                    "c", "/p", 1_500_000_000, (("SameSite", "Strict"), ("X", ""))
                )
            ),
            {
                "cookie": {
                    "name": "c",
                    "path": "/p",
                    "ttl": "1.500s",
                    "attributes": [{"name": "SameSite", "value": "Strict"}, {"name": "X"}],
                }
            },
        ),
        (
            ConsistentHash(http_cookie=HttpCookie("c", ttl=0)),
            {"cookie": {"name": "c", "ttl": "0s"}},
        ),
    ],
)
def test_route_hash_policy(key: ConsistentHash, expected: dict[str, Any]) -> None:
    """Each key as a ``RouteAction.HashPolicy``."""
    assert route_hash_policy(key) == expected

"""``proxyProtocol``."""

from __future__ import annotations

from typing import Literal

import pytest

from pytest_egress.contract.destination_rule.resource import ClientTls
from pytest_egress.contract.resources import Endpoint
from tests.envoy.build import entry
from tests.envoy.traffic_policy.shaped import HOST, shaped

NAME = "envoy.transport_sockets.upstream_proxy_protocol"


@pytest.mark.parametrize(("version", "config"), [("V1", {}), ("V2", {"version": "V2"})])
def test_before_plain_text(version: Literal["V1", "V2"], config: dict[str, str]) -> None:
    """The header goes before plain bytes."""
    socket = shaped(proxy_protocol=version)["transport_socket"]
    assert socket["name"] == NAME
    assert socket["typed_config"]["config"] == config
    assert socket["typed_config"]["transport_socket"]["name"] == "raw_buffer"


def test_before_tls() -> None:
    """TLS is inside."""
    socket = shaped(proxy_protocol="V2", tls=ClientTls("SIMPLE"))["transport_socket"]
    assert socket["name"] == NAME
    inner = socket["typed_config"]["transport_socket"]
    assert inner["name"] == "envoy.transport_sockets.tls"


def test_before_each_alternative() -> None:
    """Where the endpoint decides over TLS, the header goes before both."""
    endpoint = Endpoint("10.0.0.1", service_account="sa")
    service = entry(
        HOST, "80/HTTP", resolution="STATIC", location="MESH_INTERNAL", endpoints=(endpoint,)
    )
    cluster = shaped(service=service, proxy_protocol="V1")
    assert "transport_socket" not in cluster
    matches = cluster["transport_socket_matches"]
    assert [it["transport_socket"]["name"] for it in matches] == [NAME, NAME]
    inner = [it["transport_socket"]["typed_config"]["transport_socket"]["name"] for it in matches]
    assert inner == ["envoy.transport_sockets.tls", "envoy.transport_sockets.raw_buffer"]

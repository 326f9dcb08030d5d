"""``outlierDetection``."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_egress.contract.destination_rule.resource import OutlierDetection, TrafficPolicy
from pytest_egress.contract.resources import MeshConfig
from pytest_egress.errors import ContractError
from tests.envoy.build import compiled, entry, rule
from tests.envoy.traffic_policy.shaped import HOST, shaped

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("outliers", "expected"),
    [
        (OutlierDetection(), {}),
        (
            OutlierDetection(consecutive_5xx_errors=3),
            {"consecutive_5xx": 3, "enforcing_consecutive_5xx": 100},
        ),
        (
            OutlierDetection(consecutive_5xx_errors=0, consecutive_gateway_errors=0),
            {
                "consecutive_5xx": 0,
                "enforcing_consecutive_5xx": 0,
                "consecutive_gateway_failure": 0,
                "enforcing_consecutive_gateway_failure": 0,
            },
        ),
        (
            OutlierDetection(consecutive_gateway_errors=2),
            {"consecutive_gateway_failure": 2, "enforcing_consecutive_gateway_failure": 100},
        ),
        (
            OutlierDetection(
                interval=SECOND, base_ejection_time=SECOND // 2, max_ejection_percent=100
            ),
            {"interval": "1s", "base_ejection_time": "0.500s", "max_ejection_percent": 100},
        ),
        (
            OutlierDetection(
                split_external_local_origin_errors=True, consecutive_local_origin_failures=4
            ),
            {
                "split_external_local_origin_errors": True,
                "consecutive_local_origin_failure": 4,
                "enforcing_consecutive_local_origin_failure": 100,
                "enforcing_local_origin_success_rate": 0,
            },
        ),
        (
            OutlierDetection(
                split_external_local_origin_errors=True, consecutive_local_origin_failures=0
            ),
            {"split_external_local_origin_errors": True, "enforcing_local_origin_success_rate": 0},
        ),
        # The deprecated count is read by nobody.
        (OutlierDetection(consecutive_errors=7), {}),
    ],
)
def test_detection(outliers: OutlierDetection, expected: dict[str, Any]) -> None:
    """Counts are enforced at 100 % or, when zero, not at all; success rates never."""
    found = shaped(outlier_detection=outliers)
    assert found["outlier_detection"] == {"enforcing_success_rate": 0, **expected}


def test_panic_threshold() -> None:
    """``minHealthPercent``; where traffic prefers a place nothing unhealthy is ever used."""
    outliers = OutlierDetection(min_health_percent=40)
    common = shaped(outlier_detection=outliers)["common_lb_config"]
    assert common == {"healthy_panic_threshold": {"value": 40}}
    prefers = {"networking.istio.io/traffic-distribution": "PreferClose"}
    service = entry(HOST, "80/HTTP", annotations=prefers)
    common = shaped(service=service, outlier_detection=outliers)["common_lb_config"]
    assert common["healthy_panic_threshold"] == {}


def test_istiod_fails_on_dynamic_hosts() -> None:
    """A dynamic forward proxy has nothing to eject: istiod crashes, here it is an error."""
    service = entry("*.example.com", "80/HTTP", resolution="DYNAMIC_DNS")
    outliers = OutlierDetection()
    with pytest.raises(ContractError, match=r"istiod 1\.31 fails on outlierDetection"):
        compiled(service, rule("*.example.com", outlier_detection=outliers))
    mesh = MeshConfig(default_traffic_policy=TrafficPolicy(outlier_detection=outliers))
    with pytest.raises(ContractError, match=r"istiod 1\.31 fails on outlierDetection"):
        compiled(service, mesh=mesh)

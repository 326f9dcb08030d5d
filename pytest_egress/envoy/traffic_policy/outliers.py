"""``outlierDetection``: endpoints that fail are ejected for a while."""

from __future__ import annotations

from typing import Any

from pytest_egress.contract.destination_rule.resource import OutlierDetection
from pytest_egress.contract.duration import duration_json
from pytest_egress.envoy.cluster_draft import ClusterDraft
from pytest_egress.envoy.traffic_policy.refusal import refuse

__all__ = ["apply_outlier_detection"]


def apply_outlier_detection(draft: ClusterDraft, outliers: OutlierDetection) -> None:
    """Eject by count of errors in a row; success rates are not looked at.

    What is not said keeps Envoy's default (five errors, at most a tenth of the endpoints).
    """
    if draft.dynamic:
        message = (
            "istiod 1.31 fails on outlierDetection for a wildcard host of resolution DYNAMIC_DNS,"
            " which has no endpoints to eject: leave it out"
        )
        refuse(message, draft, "outlier_detection")
    built: dict[str, Any] = {"enforcing_success_rate": 0}
    for count, name, enforcing in (
        (outliers.consecutive_5xx_errors, "consecutive_5xx", "enforcing_consecutive_5xx"),
        (
            outliers.consecutive_gateway_errors,
            "consecutive_gateway_failure",
            "enforcing_consecutive_gateway_failure",
        ),
    ):
        if count is not None:
            built[name] = count
            built[enforcing] = 100 if count else 0
    if outliers.interval is not None:
        built["interval"] = duration_json(outliers.interval)
    if outliers.base_ejection_time is not None:
        built["base_ejection_time"] = duration_json(outliers.base_ejection_time)
    if outliers.max_ejection_percent:
        built["max_ejection_percent"] = outliers.max_ejection_percent
    if outliers.split_external_local_origin_errors:
        built["split_external_local_origin_errors"] = True
        if outliers.consecutive_local_origin_failures:
            built["consecutive_local_origin_failure"] = outliers.consecutive_local_origin_failures
            built["enforcing_consecutive_local_origin_failure"] = 100
        built["enforcing_local_origin_success_rate"] = 0
    draft.cluster["outlier_detection"] = built
    health = 0 if draft.service.traffic_distribution else outliers.min_health_percent
    threshold = {"value": health} if health else {}
    draft.cluster["common_lb_config"] = {"healthy_panic_threshold": threshold}

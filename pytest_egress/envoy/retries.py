"""Retry policies of routes: istiod's default, and what ``HTTPRetry`` makes of it."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from pytest_egress.contract.duration import duration_json

if TYPE_CHECKING:
    from pytest_egress.contract.virtual_service.resource import Retries

__all__ = ["retry_policy"]

_TYPE = "type.googleapis.com/envoy.extensions.retry"
_STATUS_CODES = "retriable-status-codes"
# Another endpoint than those that failed.
_OTHER_HOSTS = {
    "retry_host_predicate": [
        {
            "name": "envoy.retry_host_predicates.previous_hosts",
            "typed_config": {"@type": f"{_TYPE}.host.previous_hosts.v3.PreviousHostsPredicate"},
        }
    ]
}
_OTHER_LOCALITIES = {
    "name": "envoy.retry_priorities.previous_priorities",
    "typed_config": {
        "@type": f"{_TYPE}.priority.previous_priorities.v3.PreviousPrioritiesConfig",
        "update_frequency": 2,
    },
}
_HASHED = {
    # No status codes are named, so a 503 answer is not retried.
    "retry_on": f"connect-failure,refused-stream,unavailable,cancelled,{_STATUS_CODES}",
    "num_retries": 2,
    "host_selection_retry_max_attempts": "5",
}
_DEFAULT = {**_HASHED, **_OTHER_HOSTS}


def retry_policy(retries: Retries | None, *, hashed: bool = False) -> dict[str, Any] | None:
    """The ``RetryPolicy`` of a route; None for ``attempts: 0``, which switches retries off.

    Args:
        retries: what the rule, else the mesh, asks for; None for istiod's default.
        hashed: the endpoint is chosen by a hash, so a retry goes to the same one.
    """
    default = _HASHED if hashed else _DEFAULT
    if retries is None:
        return default
    if retries.attempts <= 0:
        return None
    policy: dict[str, Any] = {**default, "num_retries": retries.attempts}
    if retries.retry_on:
        conditions, codes = _conditions(retries.retry_on)
        policy["retry_on"] = conditions
        if codes:
            policy["retriable_status_codes"] = codes
        if not conditions:
            del policy["retry_on"]
    if retries.per_try_timeout is not None:
        policy["per_try_timeout"] = duration_json(retries.per_try_timeout)
    if retries.retry_ignore_previous_hosts is not None:
        policy.pop("retry_host_predicate", None)
        if retries.retry_ignore_previous_hosts:
            policy |= _OTHER_HOSTS
    if retries.retry_remote_localities:
        policy["retry_priority"] = _OTHER_LOCALITIES
    if retries.backoff is not None:
        policy["retry_back_off"] = {"base_interval": duration_json(retries.backoff)}
    return policy


def _conditions(text: str) -> tuple[str, list[int]]:
    """``retryOn`` without the status codes in it, and those codes."""
    names: list[str] = []
    codes: list[int] = []
    known = {status.value for status in HTTPStatus}
    for part in map(str.strip, text.split(",")):
        if re.fullmatch(r"[+-]?[0-9]+", part) and int(part) in known:
            codes.append(int(part))
        elif part:
            names.append(part)
    conditions = ",".join(names)
    if codes and _STATUS_CODES not in conditions:
        conditions += f",{_STATUS_CODES}"
    return conditions, codes

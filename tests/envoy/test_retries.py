"""Retry policies: istiod's default, and what a rule makes of it."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_egress.contract.virtual_service.resource import Retries
from pytest_egress.envoy.retries import retry_policy


def policy(**fields: Any) -> dict[str, Any]:
    """The policy of a rule with at least one attempt."""
    built = retry_policy(Retries(**{"attempts": 3, **fields}))
    assert built is not None
    return built


def test_default() -> None:
    """Two retries, at another endpoint, and none of an answer: no status codes are named."""
    built = retry_policy(None)
    assert built is not None
    assert built["num_retries"] == 2
    assert built["retry_on"].endswith("retriable-status-codes")
    assert "retriable_status_codes" not in built
    assert built["retry_host_predicate"][0]["name"].endswith("previous_hosts")


def test_hashed_retries_stay_with_the_endpoint() -> None:
    """A hash names one endpoint, so earlier ones are not avoided."""
    for retries in (None, Retries(attempts=1)):
        built = retry_policy(retries, hashed=True)
        assert built is not None
        assert "retry_host_predicate" not in built


def test_no_attempts() -> None:
    """``attempts: 0`` switches retries off."""
    assert retry_policy(Retries(attempts=0)) is None


@pytest.mark.parametrize(
    ("given", "conditions", "codes"),
    [
        ("5xx", "5xx", None),
        ("5xx,503,reset", "5xx,reset,retriable-status-codes", [503]),
        ("503,retriable-status-codes", "retriable-status-codes", [503]),
        ("429", ",retriable-status-codes", [429]),
        ("999", "999", None),
    ],
)
def test_conditions(given: str, conditions: str, codes: list[int] | None) -> None:
    """Known status codes go into a list of their own."""
    built = policy(retry_on=given)
    assert (built["retry_on"], built.get("retriable_status_codes")) == (conditions, codes)


def test_other_fields() -> None:
    """Timeouts, back-off, localities, hosts."""
    built = policy(
        per_try_timeout=500_000_000,
        backoff=25_000_000,
        retry_remote_localities=True,
        retry_ignore_previous_hosts=False,
    )
    assert built["per_try_timeout"] == "0.500s"
    assert built["retry_back_off"] == {"base_interval": "0.025s"}
    assert built["retry_priority"]["name"].endswith("previous_priorities")
    assert "retry_host_predicate" not in built
    assert "retry_host_predicate" in policy(retry_ignore_previous_hosts=True)

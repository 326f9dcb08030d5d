"""A gateway's whole configuration, and the Gateways that istiod makes none for."""

from __future__ import annotations

import pytest

from pytest_egress.errors import ContractError
from tests.envoy.gateway.contracts import compiled, entry, gateway, server


def test_what_istiod_fails_on_is_refused() -> None:
    """A host with a namespace behind ``*/*`` ends istiod's push: there is no configuration."""
    declared = entry("a.com", "80/HTTP"), gateway(server("80/HTTP", "'*/*', '*/a.com'"))
    with pytest.raises(ContractError) as caught:
        compiled(*declared)
    [problem] = caught.value.problems
    assert (problem.rule, problem.severity) == ("istiod-fails", "error")
    assert '"*/a.com" behind "*/*"' in problem.message


def test_a_host_before_all_hosts_is_fine() -> None:
    """The other way round, istiod takes all hosts."""
    found = compiled(entry("a.com", "80/HTTP"), gateway(server("80/HTTP", "'*/a.com', '*/*'")))
    assert [it["name"] for it in found.program.listeners] == ["0.0.0.0_80"]

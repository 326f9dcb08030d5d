"""Expectation markers, and the markers that choose contract, policy and workload."""

from __future__ import annotations

import pytest


def test_expectations_hold(suite: pytest.Pytester) -> None:
    """All three expectation markers pass on a contract that says so."""
    suite.makepyfile(
        """
        import pytest

        @pytest.mark.egress_reachable("https://api.weather.com", "http://api.weather.com")
        @pytest.mark.egress_blocked("https://evil.example", "http://api.weather.com:8080")
        @pytest.mark.egress_resolves("api.weather.com")
        def test_contract(): ...
        """
    )
    suite.runpytest().assert_outcomes(passed=1)


def test_every_wrong_expectation_is_told(suite: pytest.Pytester) -> None:
    """Expectations that do not hold fail the test, all of them at once, before its body runs."""
    suite.makepyfile(
        """
        import pytest

        @pytest.mark.egress_reachable("https://evil.example")
        @pytest.mark.egress_blocked("https://api.weather.com")
        @pytest.mark.egress_resolves("api.weather.com", to=["192.0.2.1"])
        def test_contract():
            raise RuntimeError("the body ran")
        """
    )
    result = suite.runpytest()
    result.assert_outcomes(failed=1)
    text = result.stdout.str()
    assert "expected REACHABLE, got BLOCKED" in text
    assert "expected BLOCKED, got REACHABLE" in text
    assert "expected api.weather.com to resolve to 192.0.2.1, got 198.18." in text
    assert "the body ran" not in text
    assert "Traceback (most recent" not in text


def test_marker_contract_replaces_the_ini_contract(suite: pytest.Pytester) -> None:
    """A test can bring its own contract, as a path beside the test file or as YAML text."""
    (suite.path / "other.yaml").write_text(
        (suite.path / "deploy/egress.yaml").read_text().replace("api.weather.com", "api.other.com")
    )
    suite.makepyfile(
        """
        import pytest

        YAML = '''
        apiVersion: networking.istio.io/v1
        kind: ServiceEntry
        metadata: {name: inline}
        spec:
          hosts: [inline.example.com]
          ports: [{number: 443, name: https, protocol: TLS}]
          resolution: DNS
        '''

        @pytest.mark.egress_contract("other.yaml")
        @pytest.mark.egress_reachable("https://api.other.com")
        @pytest.mark.egress_blocked("https://api.weather.com")
        def test_path(): ...

        @pytest.mark.egress_contract(YAML)
        @pytest.mark.egress_reachable("https://inline.example.com")
        @pytest.mark.egress_blocked("https://api.weather.com")
        def test_text(): ...
        """
    )
    suite.runpytest().assert_outcomes(passed=2)


def test_policy_and_workload_markers(suite: pytest.Pytester) -> None:
    """ALLOW_ANY lets an undeclared host answer; exportTo depends on who asks."""
    suite.makepyfile(
        """
        import pytest

        @pytest.mark.egress_policy("ALLOW_ANY")
        def test_open(egress):
            assert egress.policy == "ALLOW_ANY"
            assert egress.get("https://evil.example").verdict.value == "UNDECLARED"

        @pytest.mark.egress_workload("weather", app="web")
        @pytest.mark.egress_reachable("https://private.example.com")
        def test_own_namespace(egress):
            assert egress.workload.labels == {"app": "web"}

        @pytest.mark.egress_workload(namespace="shop")
        @pytest.mark.egress_blocked("https://private.example.com")
        def test_other_namespace(): ...
        """
    )
    suite.runpytest().assert_outcomes(passed=3)


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        ("egress_policy('CLOSED')", "expected REGISTRY_ONLY or ALLOW_ANY"),
        ("egress_reachable()", "expected at least one target"),
        ("egress_blocked(443)", "expected text, got 443"),
        ("egress_contract()", "expected paths, globs or YAML text"),
        ("egress_resolves('a.example', at='192.0.2.1')", "unexpected keyword argument 'at'"),
    ],
)
def test_wrong_marker_arguments(suite: pytest.Pytester, marker: str, message: str) -> None:
    """A marker with wrong arguments is a clear message, not a passing test."""
    suite.makepyfile(
        f"""
        import pytest

        @pytest.mark.{marker}
        def test_it(egress): ...
        """
    )
    result = suite.runpytest()
    assert result.ret != 0
    result.assert_outcomes(passed=0, failed=0, errors=result.parseoutcomes().get("errors", 0))
    text = result.stdout.str() + result.stderr.str()
    assert message in text
    assert "Traceback (most recent" not in text

"""Precedence: command line, environment, nearest marker, ini, default; each step is tested."""

from __future__ import annotations

import pytest

STEPS = ["command line", "environment", "marker", "ini", "default"]


@pytest.mark.parametrize("first", range(len(STEPS)))
def test_precedence_of_policy(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    """Each place wins over all that come after it."""
    present = STEPS[first:]
    # Whoever wins says ALLOW_ANY, everybody after it says REGISTRY_ONLY.
    said = {step: "ALLOW_ANY" if step == STEPS[first] else "REGISTRY_ONLY" for step in present}
    expected = said[STEPS[first]] if STEPS[first] != "default" else "REGISTRY_ONLY"
    arguments = [f"--egress-policy={said['command line']}"] if "command line" in said else []
    if "environment" in said:
        monkeypatch.setenv("PYTEST_EGRESS_POLICY", said["environment"])
    if "ini" in said:
        with (suite.path / "tox.ini").open("a") as ini:
            ini.write(f"\negress_policy = {said['ini']}\n")
    marker = f"@pytest.mark.egress_policy({said['marker']!r})" if "marker" in said else ""
    suite.makepyfile(
        f"""
        import pytest

        {marker}
        def test_it(egress):
            assert egress.policy == {expected!r}
        """
    )
    suite.runpytest(*arguments).assert_outcomes(passed=1)


def test_nearest_marker_wins(suite: pytest.Pytester) -> None:
    """A test's own marker wins over its class's and its module's."""
    suite.makepyfile(
        """
        import pytest
        pytestmark = pytest.mark.egress_workload("module")

        @pytest.mark.egress_workload("class")
        class TestIt:
            def test_class(self, egress):
                assert egress.workload.namespace == "class"

            @pytest.mark.egress_workload("function")
            def test_function(self, egress):
                assert egress.workload.namespace == "function"

        def test_module(egress):
            assert egress.workload.namespace == "module"
        """
    )
    suite.runpytest().assert_outcomes(passed=3)


def test_environment_names_the_contract(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PYTEST_EGRESS_CONTRACT is a list of paths, as PATH is, relative to where pytest starts."""
    (suite.path / "other.yaml").write_text(
        (suite.path / "deploy/egress.yaml").read_text().replace("api.weather.com", "api.other.com")
    )
    monkeypatch.setenv("PYTEST_EGRESS_CONTRACT", "other.yaml")
    suite.makepyfile(
        """
        def test_it(egress):
            assert egress.contract.service_entries[0].hosts == ("api.other.com",)
        """
    )
    suite.runpytest().assert_outcomes(passed=1)


def test_timeout_setting_reaches_the_probe(suite: pytest.Pytester) -> None:
    """--egress-timeout bounds a probe of an upstream that never answers."""
    suite.makepyfile(
        """
        import time

        def test_it(egress, egress_upstreams):
            egress_upstreams["api.weather.com"].silent()
            start = time.monotonic()
            assert egress.get("http://api.weather.com").unreachable
            assert time.monotonic() - start < 3
        """
    )
    suite.runpytest("--egress-timeout=0.5").assert_outcomes(passed=1)


RULE = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: weather, namespace: weather}
spec:
  host: api.weather.com
  trafficPolicy:
    tls: {mode: SIMPLE, caCertificates: /etc/certs/ca.pem}
"""


@pytest.mark.parametrize("way", ["option", "variable", "ini"])
def test_pod_root_is_where_certificates_are_read(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """A certificate that is not there ends the run, and says where it was looked for."""
    (suite.path / "deploy" / "rule.yaml").write_text(RULE)
    suite.makepyfile("def test_it(egress): pass")
    arguments = ["--egress-contract=deploy"]
    if way == "option":
        arguments.append("--egress-pod-root=deploy/pod")
    elif way == "variable":
        monkeypatch.setenv("PYTEST_EGRESS_POD_ROOT", "deploy/pod")
    else:
        with (suite.path / "tox.ini").open("a") as ini:
            ini.write("\negress_pod_root = deploy/pod\n")
    result = suite.runpytest(*arguments)
    text = result.stdout.str() + result.stderr.str()
    assert result.ret == 4
    assert "deploy/rule.yaml:7:41: error: caCertificates" in text
    assert "looked for at deploy/pod/etc/certs/ca.pem: there is no such file" in text

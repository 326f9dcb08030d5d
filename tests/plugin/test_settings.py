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


def test_pods_on_local_are_told_to_have_no_effect(suite: pytest.Pytester) -> None:
    """It makes none; the run is the same."""
    suite.makepyfile("def test_it(egress): assert egress.get('https://api.weather.com').reachable")
    result = suite.runpytest("--egress-pods=4")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["egress: local (Envoy 1.*; egress_pods=4 has no effect: *"])


@pytest.mark.parametrize("number", ["0", "101", "-1", "two", "1.5", ""])
def test_pods_are_a_number(suite: pytest.Pytester, number: str) -> None:
    """What is none ends the run."""
    result = suite.runpytest(f"--egress-pods={number}")
    assert result.ret == 4
    text = result.stdout.str() + result.stderr.str()
    assert f"--egress-pods={number}: expected a number from 1 to 100" in text


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


VALUES = """\
meshConfig:
  outboundTrafficPolicy: {mode: %s}
global:
  istioNamespace: mesh-system
  proxy: {excludeOutboundPorts: "5432"}
"""
MESH_TEST = """
def test_it(egress):
    assert egress.policy == {policy!r}
    assert egress.contract.mesh.root_namespace == "mesh-system"
"""


@pytest.mark.parametrize("way", ["option", "variable", "ini"])
def test_a_mesh_file_counts(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Its policy is the run's; relative to the current directory or the ini file."""
    (suite.path / "deploy" / "values.yaml.txt").write_text(VALUES % "ALLOW_ANY")
    suite.makepyfile(MESH_TEST.format(policy="ALLOW_ANY"))
    arguments = []
    if way == "option":
        arguments.append("--egress-mesh-config=deploy/values.yaml.txt")
    elif way == "variable":
        monkeypatch.setenv("PYTEST_EGRESS_MESH_CONFIG", "deploy/values.yaml.txt")
    else:
        with (suite.path / "tox.ini").open("a") as ini:
            ini.write("\negress_mesh_config = deploy/values.yaml.txt\n")
    result = suite.runpytest(*arguments)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["egress: *, ALLOW_ANY", "*values.yaml.txt:5:33: warning: *5432*"])


@pytest.mark.parametrize("way", ["option", "variable", "marker", "ini"])
def test_an_explicit_policy_wins_over_the_mesh_file(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Wherever it is said."""
    (suite.path / "deploy" / "mesh").write_text(VALUES % "ALLOW_ANY")
    marker = "import pytest\n\npytestmark = pytest.mark.egress_policy('REGISTRY_ONLY')\n"
    test = MESH_TEST.format(policy="REGISTRY_ONLY")
    suite.makepyfile(f"{marker if way == 'marker' else ''}{test}")
    arguments = ["--egress-mesh-config=deploy/mesh"]
    if way == "option":
        arguments.append("--egress-policy=REGISTRY_ONLY")
    elif way == "variable":
        monkeypatch.setenv("PYTEST_EGRESS_POLICY", "REGISTRY_ONLY")
    elif way == "ini":
        with (suite.path / "tox.ini").open("a") as ini:
            ini.write("\negress_policy = REGISTRY_ONLY\n")
    suite.runpytest(*arguments).assert_outcomes(passed=1)


def test_a_mesh_file_without_policy_is_istios_open_mesh(suite: pytest.Pytester) -> None:
    """Without a file the mesh is closed."""
    (suite.path / "deploy" / "mesh").write_text("rootNamespace: mesh-system\n")
    suite.makepyfile(MESH_TEST.format(policy="ALLOW_ANY"))
    suite.runpytest("--egress-mesh-config=deploy/mesh").assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "deploy/mesh:1:1: error: there is no such file"),
        (
            "conectTimeout: 5s",
            'deploy/mesh:1:1: error: unknown field "conectTimeout" in MeshConfig',
        ),
        ("kind: Deployment", "deploy/mesh:1:1: error: this is a Deployment"),
    ],
)
def test_a_mesh_file_that_cannot_be_used(
    suite: pytest.Pytester, text: str | None, words: str
) -> None:
    """Exit code 4 and one message."""
    if text is not None:
        (suite.path / "deploy" / "mesh").write_text(text)
    suite.makepyfile("def test_it(egress): pass")
    result = suite.runpytest("--egress-mesh-config=deploy/mesh")
    assert result.ret == 4
    assert words in result.stdout.str() + result.stderr.str()

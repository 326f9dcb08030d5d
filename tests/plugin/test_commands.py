"""pytest's own listings work with and without an Envoy; mistakes end a run with code 4."""

from __future__ import annotations

import pytest

TEST = """
    import pytest

    @pytest.mark.egress_reachable("https://api.weather.com")
    def test_it(egress): ...
"""


@pytest.mark.parametrize(
    "option", ["--markers", "--help", "--fixtures", "--setup-plan", "--collect-only"]
)
def test_listings_need_no_envoy(suite: pytest.Pytester, option: str) -> None:
    """A missing Envoy does not keep anybody from reading what there is."""
    suite.makepyfile(TEST)
    result = suite.runpytest(option, "--egress-envoy=/nonexistent/envoy")
    assert result.ret == 0
    assert "Traceback (most recent" not in result.stdout.str() + result.stderr.str()


def test_markers_are_documented(suite: pytest.Pytester) -> None:
    """`pytest --markers` explains the arguments of each marker."""
    text = suite.runpytest("--markers").stdout.str()
    for name in ("contract", "policy", "workload", "reachable", "blocked", "resolves"):
        assert f"@pytest.mark.egress_{name}(" in text


def test_missing_envoy_is_one_clear_message(suite: pytest.Pytester) -> None:
    """The message says what was tried and what to do; there is no traceback."""
    suite.makepyfile(TEST)
    result = suite.runpytest("--egress-envoy=/nonexistent/envoy")
    result.assert_outcomes(errors=1)
    text = result.stdout.str()
    assert "'/nonexistent/envoy' is not a program that can be run" in text
    assert "next step:" in text
    assert "Traceback (most recent" not in text


def test_header_names_backend_contract_and_policy(suite: pytest.Pytester) -> None:
    """One header line for a run with a contract."""
    suite.makepyfile("def test_it(): pass")
    result = suite.runpytest()
    result.stdout.fnmatch_lines(
        ["egress: local (Envoy 1.*), 2 ServiceEntries in 1 file*, REGISTRY_ONLY"]
    )


def test_no_header_without_a_contract(pytester: pytest.Pytester) -> None:
    """A suite that does not use the plugin sees nothing of it."""
    pytester.makepyfile("def test_it(): pass")
    result = pytester.runpytest()
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*egress:*")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--egress-policy=CLOSED"], "expected REGISTRY_ONLY or ALLOW_ANY"),
        (["--egress-policy=REGISTRY-ONLY"], "did you mean REGISTRY_ONLY?"),
        (["--egress-timeout=soon"], "expected a number of seconds greater than 0"),
        (["--egress-workload=/app"], "expected NAMESPACE"),
        (["--egress-contract=missing.yaml"], "missing.yaml"),
        (["--egress-backend=lokal"], "did you mean local?"),
    ],
)
def test_wrong_option_values(suite: pytest.Pytester, arguments: list[str], message: str) -> None:
    """A wrong value ends with one message; nothing passes."""
    suite.makepyfile(TEST)
    result = suite.runpytest(*arguments)
    text = result.stdout.str() + result.stderr.str()
    assert result.ret == 4
    assert message in text
    assert "Traceback (most recent" not in text


def test_broken_contract_ends_the_run_with_code_4(suite: pytest.Pytester) -> None:
    """All problems with position and mend, no traceback, no test run."""
    (suite.path / "deploy/egress.yaml").write_text(
        "apiVersion: networking.istio.io/v1\n"
        "kind: ServiceEntry\n"
        "metadata: {name: a}\n"
        "spec:\n"
        "  hosts: [a.example.com]\n"
        "  ports: [{number: 99999, name: https, protocol: HTTPS}]\n"
        "  resolutoin: DNS\n"
    )
    suite.makepyfile(TEST)
    result = suite.runpytest()
    text = result.stdout.str() + result.stderr.str()
    assert result.ret == 4
    assert "egress.yaml:6:20" in text
    assert "egress.yaml:7:3" in text
    assert "resolution" in text
    assert "Traceback (most recent" not in text


def test_contract_without_entries_is_refused(suite: pytest.Pytester) -> None:
    """With nothing declared everything is blocked, and a test of that would prove nothing."""
    (suite.path / "deploy/egress.yaml").write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
    )
    suite.makepyfile("def test_it(egress): assert egress.get('https://evil.example').blocked")
    result = suite.runpytest()
    assert result.ret == 4
    assert "holds no ServiceEntry (1 ConfigMap left alone)" in (
        result.stdout.str() + result.stderr.str()
    )


def test_no_contract_at_all(pytester: pytest.Pytester) -> None:
    """A test that asks for `egress` without any contract is told where to name one."""
    pytester.makepyfile("def test_it(egress): pass")
    result = pytester.runpytest()
    assert result.ret != 0
    text = result.stdout.str() + result.stderr.str()
    assert "egress_contract" in text
    assert "Traceback (most recent" not in text


ENTRY = (
    b"apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: a}\n"
    b"spec:\n  hosts: [a.example.com]\n  ports: [{number: 443, name: https, protocol: HTTPS}]\n"
    b"  resolution: DNS\n"
)


@pytest.mark.parametrize(
    ("content", "place", "words"),
    [
        (b"", "egress.yaml", "holds no ServiceEntry"),
        (b"\x00\x01\xff\xfe binary", "egress.yaml:1:1", ""),
        (ENTRY.replace(b"  hosts", b"\thosts"), "egress.yaml:5:1", "tab"),
        (ENTRY.replace(b"hosts:", b"host:"), "egress.yaml:5:3", '"hosts"'),
        (ENTRY.replace(b"DNS", b"DSN"), "egress.yaml:7:15", "DNS"),
        (ENTRY + b"  resolution: NONE\n", "egress.yaml:8:3", "resolution"),
        (ENTRY.replace(b"443", b"'443x'"), "egress.yaml:6:20", ""),
        (ENTRY.replace(b"spec:", b"spec: {{ .Values.spec }}\nx:"), "egress.yaml:4", "render"),
        (
            b"a: &a [x,x,x,x,x,x,x,x,x]\n"
            + b"".join(b"%c: &%c [%s]\n" % (98 + n, 98 + n, b",".join([b"*%c" % (97 + n)] * 9))
                       for n in range(9)),
            "egress.yaml:",
            "alias",
        ),
        (ENTRY.replace(b"ServiceEntry", b"EnvoyFilter"), "egress.yaml:2:7", "not supported"),
    ],
    ids=[
        "empty", "binary", "tab", "misspelt-field", "wrong-enum", "equal-key", "wrong-type",
        "template", "alias-bomb", "unsupported-kind",
    ],
)  # fmt: skip
def test_broken_files_end_the_run_with_code_4(
    suite: pytest.Pytester, content: bytes, place: str, words: str
) -> None:
    """One message with position and mend, exit code 4, no traceback."""
    (suite.path / "deploy/egress.yaml").write_bytes(content)
    suite.makepyfile(TEST)
    result = suite.runpytest()
    text = result.stdout.str() + result.stderr.str()
    assert result.ret == 4, text
    assert place in text
    assert words in text
    assert "Traceback (most recent" not in text


@pytest.mark.parametrize("source", ["nowhere.yaml", "nowhere/*.yaml", "bare"])
def test_contract_that_is_not_there(suite: pytest.Pytester, source: str) -> None:
    """A missing file, a glob that matches nothing, a directory without YAML: code 4."""
    suite.mkdir("bare")
    suite.makepyfile(TEST)
    result = suite.runpytest(f"--egress-contract={source}")
    text = result.stdout.str() + result.stderr.str()
    assert result.ret == 4, text
    assert source in text
    assert "Traceback (most recent" not in text


def test_warnings_of_the_contract_are_shown(suite: pytest.Pytester) -> None:
    """What istiod and the linter warn of stands at the end of the run; it fails nothing."""
    text = (suite.path / "deploy/egress.yaml").read_text()
    (suite.path / "deploy/egress.yaml").write_text(text.replace("  location: MESH_EXTERNAL\n", ""))
    suite.makepyfile("def test_it(): pass")
    result = suite.runpytest()
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        [
            "*2 ServiceEntries in 1 file (2 warnings)*",
            "*= egress contract warnings =*",
            "deploy/egress.yaml:*: warning: *MESH_EXTERNAL*[[]lint/location-unset[]]",
        ]
    )


REFUSED = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: partial, namespace: weather}
spec:
  hosts: ["*-api.weather.com"]
  location: MESH_EXTERNAL
  resolution: NONE
  exportTo: ["."]
  ports: [{number: 443, name: tls, protocol: TLS}]
"""


def _refused_by_envoy(suite: pytest.Pytester) -> None:
    (suite.path / "deploy" / "partial.yaml").write_text(REFUSED)


def test_what_envoy_refuses_ends_the_run(suite: pytest.Pytester) -> None:
    """Istiod accepts it, and says so; Envoy is asked before any test is collected."""
    _refused_by_envoy(suite)
    suite.makepyfile("def test_it(egress): ...")
    result = suite.runpytest("--egress-workload=weather")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [
            "ERROR: the egress contract cannot be used",
            "deploy/partial.yaml:5:11: error: Envoy refuses listener 0.0.0.0_443, *partial wild*",
        ]
    )
    assert "Traceback" not in result.stderr.str()


def test_what_envoy_refuses_for_some_workload_ends_the_run_there(suite: pytest.Pytester) -> None:
    """A workload of a marker is met during the run; a contract of a marker concerns its test."""
    _refused_by_envoy(suite)
    suite.makepyfile(
        f"""
        import pytest

        def test_first(egress):
            assert egress.get("https://api.weather.com").reachable

        @pytest.mark.egress_contract({REFUSED.replace("weather}", "default}")!r})
        def test_of_its_own(egress): ...

        @pytest.mark.egress_workload("weather")
        def test_third(egress): ...

        def test_never(egress): ...
        """
    )
    result = suite.runpytest()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.assert_outcomes(passed=1, errors=1)
    text = result.stdout.str()
    assert "<egress_contract>:5:11: error: Envoy refuses listener 0.0.0.0_443" in text
    assert "deploy/partial.yaml:5:11: error: Envoy refuses listener 0.0.0.0_443" in text


def test_a_missing_envoy_is_told_by_the_first_test(suite: pytest.Pytester) -> None:
    """Nobody can be asked then."""
    _refused_by_envoy(suite)
    suite.makepyfile("def test_it(): ...\ndef test_two(egress): ...")
    result = suite.runpytest("--egress-workload=weather", "--egress-envoy=/nonexistent/envoy")
    result.assert_outcomes(passed=1, errors=1)

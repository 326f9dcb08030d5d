"""Coverage and record, through pytest and through xdist's workers."""

from __future__ import annotations

import pytest

APPLICATION = """
    import urllib.request

    import pytest

    def fetch(url):
        return urllib.request.urlopen(url, timeout=10).status
"""


def test_coverage_is_shown_and_can_fail_the_run(suite: pytest.Pytester) -> None:
    """Probes, markers and captured calls count; too little is exit code 1."""
    suite.makepyfile(
        APPLICATION
        + """
    @pytest.mark.egress_reachable("https://api.weather.com")
    @pytest.mark.egress_blocked("https://evil.example")
    def test_marker(): ...

    def test_captured(egress_captured):
        fetch("http://api.weather.com/")
    """
    )
    result = suite.runpytest("--egress-cov")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "*= egress coverage =*",
            "2 of 3 declared hosts and ports exercised (67 %)",
            "never called: private.example.com:443/HTTPS (deploy/egress.yaml:*)",
        ]
    )
    result.stdout.no_fnmatch_line("*evil.example*")
    result = suite.runpytest("--egress-cov-fail-under=67%", "-n", "2")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["FAIL: 67 % are required (egress_cov_fail_under)"])
    assert suite.runpytest("--egress-cov-fail-under=66").ret == 0
    assert "egress coverage" not in suite.runpytest().stdout.str()


def test_record_writes_what_is_missing_and_proves_it(suite: pytest.Pytester) -> None:
    """Existing entries stay; the file is run once more before it is called good."""
    suite.makepyfile(
        APPLICATION
        + """
    def test_declared():
        assert fetch("https://api.weather.com/") == 200

    def test_missing():
        assert fetch("https://api.payments.example/") == 200
        assert fetch("http://rates.example.org:8080/") == 200
    """
    )
    result = suite.runpytest("--egress-record=deploy/recorded.yaml", "--egress-record-sidecar")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "2 ServiceEntries written to deploy/recorded.yaml",
            "  example-org: rates.example.org on 8080/HTTP",
            "  payments-example: api.payments.example on 443/TLS",
            "proven by a second run that enforced it: 2 passed*",
        ]
    )
    text = (suite.path / "deploy" / "recorded.yaml").read_text()
    assert text.startswith("# needed by test_record_writes_what_is_missing_and_proves_it.py::")
    assert "api.weather.com" in text.partition("kind: Sidecar")[2]
    assert "api.weather.com" not in text.partition("kind: Sidecar")[0]
    result = suite.runpytest("--egress-record=deploy/recorded.yaml", "-n", "2")
    result.stdout.fnmatch_lines(["nothing was called that the contract does not declare"])
    assert (suite.path / "deploy" / "recorded.yaml").read_text() == text


def test_record_that_does_not_hold_is_not_called_good(suite: pytest.Pytester) -> None:
    """A run that calls something else the second time fails."""
    suite.makepyfile(
        APPLICATION
        + """
    import os

    def test_fickle():
        fetch(f"https://h{os.getpid()}.example.org/")
    """
    )
    result = suite.runpytest("--egress-record=recorded.yaml")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["NOT GOOD: the second run, which enforced it, ended with 1:"])


def test_record_needs_no_contract_to_begin_with(pytester: pytest.Pytester) -> None:
    """The first contract of a suite that never had one."""
    pytester.makepyfile(APPLICATION + '\n    def test(): fetch("https://api.weather.com/")\n')
    result = pytester.runpytest("--egress-record", "new/egress.yaml", "-p", "no:cacheprovider")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["proven by a second run that enforced it: 1 passed*"])
    assert (pytester.path / "new" / "egress.yaml").exists()

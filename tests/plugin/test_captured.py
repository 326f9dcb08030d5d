"""The fixture, marker and settings that capture a test's own connections."""

from __future__ import annotations

import pytest

CALLS = """
    import urllib.request
    import urllib.error

    import pytest


    def fetch(url):
        try:
            return urllib.request.urlopen(url, timeout=5).status
        except OSError as error:
            return error
"""


def test_marker_fails_the_test_that_swallows(suite: pytest.Pytester) -> None:
    """A blocked call fails its test in the call phase, with the line that made it."""
    suite.makepyfile(
        CALLS
        + """
    @pytest.mark.egress_captured
    def test_swallows():
        assert fetch("https://api.weather.com/") == 200
        fetch("https://evil.example/")

    def test_after():
        import socket
        assert "connect" not in vars(socket.socket)
    """
    )
    result = suite.runpytest()
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(
        [
            "*1 call outside of the contract:*",
            "*target    tls://evil.example:443*",
            "*made at   test_marker_fails_the_test_that_swallows.py:* in fetch*",
        ]
    )


def test_failing_test_keeps_its_own_error(suite: pytest.Pytester) -> None:
    """The application's exception is what fails; the capture adds its section."""
    suite.makepyfile(
        CALLS
        + """
    def test_raises(egress_captured):
        urllib.request.urlopen("https://evil.example/", timeout=5)
    """
    )
    result = suite.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E *URLError*", "*- egress capture -*", "*tls://evil.example:443"])


def test_fixture_gives_the_calls(suite: pytest.Pytester) -> None:
    """The log is there while the test runs."""
    suite.makepyfile(
        CALLS
        + """
    @pytest.mark.egress_captured(on_blocked="allow", exclude=["127.0.0.0/8"])
    def test_log(egress_captured):
        fetch("http://api.weather.com/a")
        fetch("http://evil.example/b")
        assert egress_captured.reachable.hosts == {"api.weather.com"}
        assert [call.path for call in egress_captured.blocked] == ["/b"]
        assert egress_captured[0].test.endswith("::test_log")
    """
    )
    suite.runpytest().assert_outcomes(passed=1)


def test_whole_suite(suite: pytest.Pytester) -> None:
    """The ini key captures every test but those that are marked otherwise."""
    with suite.path.joinpath("tox.ini").open("a") as ini:
        ini.write("\negress_capture = true\negress_capture_exclude = *.internal\n")
    suite.makepyfile(
        CALLS
        + """
    def test_inside():
        assert fetch("https://api.weather.com/") == 200

    def test_outside():
        fetch("https://evil.example/")

    @pytest.mark.egress_captured(False)
    def test_left_out():
        import socket
        assert "connect" not in vars(socket.socket)
    """
    )
    suite.runpytest().assert_outcomes(passed=2, failed=1)
    suite.runpytest("--egress-on-blocked=allow").assert_outcomes(passed=3)


def test_bad_marker_is_one_message(suite: pytest.Pytester) -> None:
    """An unknown option is a usage error, a wrong value fails the set-up."""
    suite.makepyfile(
        """
        import pytest

        @pytest.mark.egress_captured(on_block="allow")
        def test_it(): ...
        """
    )
    result = suite.runpytest()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["*unknown option 'on_block'; expected one of exclude, on_blocked*"]
    )
    suite.makepyfile(
        """
        import pytest

        @pytest.mark.egress_captured(exclude=["http://x"])
        def test_it(): ...
        """
    )
    result = suite.runpytest()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*exclude: 'http://x': expected a host*"])

"""The fixtures, overridden at other scopes, and what a failing test shows."""

from __future__ import annotations

import pytest


def test_contract_fixture_can_be_overridden(suite: pytest.Pytester) -> None:
    """A session-scoped fixture that returns a path or YAML text takes the contract's place."""
    suite.makeconftest(
        """
        import pytest

        @pytest.fixture(scope="session")
        def egress_contract():
            return '''
        apiVersion: networking.istio.io/v1
        kind: ServiceEntry
        metadata: {name: inline}
        spec:
          hosts: [inline.example.com]
          ports: [{number: 443, name: https, protocol: TLS}]
          resolution: DNS
        '''
        """
    )
    suite.makepyfile(
        """
        def test_it(egress):
            assert egress.get("https://inline.example.com").reachable
            assert egress.get("https://api.weather.com").blocked
        """
    )
    suite.runpytest().assert_outcomes(passed=1)


def test_upstreams_can_be_scripted_for_a_module(suite: pytest.Pytester) -> None:
    """A module-scoped override keeps its script for all of its tests."""
    suite.makepyfile(
        """
        import pytest

        @pytest.fixture(scope="module")
        def egress_upstreams(egress_backend):
            with egress_backend.upstreams() as upstreams:
                upstreams["api.weather.com"].respond(418)
                yield upstreams

        def test_one(egress):
            assert egress.get("http://api.weather.com").status == 418

        def test_two(egress):
            assert egress.get("http://api.weather.com").status == 418
        """
    )
    suite.runpytest().assert_outcomes(passed=2)


def test_scripts_end_with_the_test(suite: pytest.Pytester) -> None:
    """What one test scripts is not there for the next one."""
    suite.makepyfile(
        """
        def test_one(egress, egress_upstreams):
            egress_upstreams["api.weather.com"].respond(503)
            assert egress.get("http://api.weather.com").status == 503

        def test_two(egress):
            assert egress.get("http://api.weather.com").status == 200
        """
    )
    suite.runpytest("-p", "no:randomly").assert_outcomes(passed=2)


def test_scripts_of_the_pod_end_with_the_test(suite: pytest.Pytester) -> None:
    """Also where the outside is scripted for a whole module."""
    suite.makepyfile(
        """
        import pytest

        @pytest.fixture(scope="module")
        def egress_upstreams(egress_backend):
            with egress_backend.upstreams() as upstreams:
                upstreams["api.weather.com"].respond(418)
                yield upstreams

        def test_one(egress):
            egress.upstream("api.weather.com").fail(503, times=5)
            assert egress.get("http://api.weather.com", n=2).statuses == {503: 2}
            assert egress.upstream("api.weather.com").count == 2

        def test_two(egress):
            assert egress.get("http://api.weather.com").status == 418
        """
    )
    suite.runpytest("-p", "no:randomly").assert_outcomes(passed=2)


def test_upstream_of_a_request_over_a_kept_connection(suite: pytest.Pytester) -> None:
    """The proxy's pool outlives a test: the next one still sees who answered, and how."""
    suite.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("turn", range(2))
        def test_it(egress, turn):
            outcome = egress.get("http://api.weather.com")
            assert (outcome.upstream.host, outcome.upstream.port) == ("api.weather.com", 80)
            assert outcome.upstream == f"{outcome.addresses[0]}:80"
            assert len(egress.upstream("api.weather.com").connections) == 1
            assert len(outcome.requests) == egress.upstream("api.weather.com").count == 1
        """
    )
    suite.runpytest().assert_outcomes(passed=2)


def test_failure_tells_the_whole_story(suite: pytest.Pytester) -> None:
    """Target, verdict, decision, declaration, nearest, edit and the proxy's line are printed."""
    suite.makepyfile(
        """
        def test_it(egress):
            assert egress.get("http://api.weather.com:8080/v3").reachable
        """
    )
    result = suite.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*<BLOCKED http://api.weather.com:8080/v3*",
            "*egress evidence*",
            "target    http://api.weather.com:8080/v3",
            "verdict   BLOCKED at stage http: listener virtualOutbound *BlackHoleCluster*",
            "decided   listener virtualOutbound, filter chain virtualOutbound-catchall-tcp, *",
            "nearest   *egress.yaml:8:5 declares api.weather.com on 443/HTTPS, 80/HTTP",
            "edit      to allow it, add {number: 8080, *protocol: HTTP} *egress.yaml:*",
            "proxy     *UH*BlackHoleCluster*",
        ]
    )


def test_an_outcome_has_no_truth_value(suite: pytest.Pytester) -> None:
    """`assert egress.get(...)` is a mistake, never a passing test."""
    suite.makepyfile(
        """
        def test_it(egress):
            assert egress.get("https://api.weather.com")
        """
    )
    result = suite.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*an outcome is neither true nor false*"])


def test_session_goes_through_the_pod(suite: pytest.Pytester) -> None:
    """`egress.session` is a requests.Session: allowed, blocked and unresolved as in the pod."""
    suite.makepyfile(
        """
        import pytest
        import requests

        def test_it(egress, egress_upstreams):
            egress_upstreams["api.weather.com"].respond(200, body=b"sunny")
            egress_upstreams["gone.example"].nxdomain()
            assert egress.session.get("https://api.weather.com/v3").text == "sunny"
            for url in ("https://evil.example", "https://gone.example"):
                with pytest.raises(requests.ConnectionError):
                    egress.session.get(url)
            assert egress.session.get("http://evil.example").status_code == 502
        """
    )
    suite.runpytest().assert_outcomes(passed=1)


def test_xdist_gives_the_same_results(suite: pytest.Pytester) -> None:
    """200 tests over 4 workers: every one as when run in a row."""
    suite.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("number", range(100))
        def test_reachable(egress, number):
            assert egress.get(f"http://api.weather.com/{number}").reachable

        @pytest.mark.parametrize("number", range(99))
        def test_blocked(egress, number):
            assert egress.get(f"https://evil{number}.example").blocked

        def test_wrong(egress):
            assert egress.get("https://evil.example").reachable
        """
    )
    serial = suite.runpytest_subprocess("-q")
    parallel = suite.runpytest_subprocess("-q", "-n", "4")
    for result in (serial, parallel):
        result.assert_outcomes(passed=199, failed=1)
        result.stdout.fnmatch_lines(["*egress evidence*", "target    https://evil.example*"])

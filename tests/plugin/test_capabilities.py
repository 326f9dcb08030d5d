"""What a backend lacks is a skip with the reason, wherever the test asks for it."""

from __future__ import annotations

import pytest

_POOR = """
    import pytest
    from pytest_egress.backends.local import LocalBackend
    from pytest_egress.backends.registry import Kind, register

    class Poor(LocalBackend):
        name = "poor"
        lacking = {"dial": "it is far away", "pod-exec": "it has no pod"}

    def create(get):
        return Poor(envoy=get("envoy"), pod_root=get("pod-root"))

    register(Kind("poor", "conftest:create"))
    register(Kind("absent", "conftest:create", needs=("no_such_package",), extra="docker"))
"""


def test_what_is_lacking_is_skipped(suite: pytest.Pytester) -> None:
    """In a fixture, in a marker's fixture, in the test itself; the rest runs."""
    suite.makeconftest(_POOR)
    suite.makepyfile(
        """
        import pytest

        def test_probe(egress):
            assert egress.backend.name == "poor"
            assert egress.get("https://api.weather.com").reachable

        def test_fixture(egress_captured): ...

        @pytest.mark.egress_captured
        def test_marker(): ...

        def test_session(egress):
            egress.session

        def test_command(egress):
            egress.run(["true"])
        """
    )
    result = suite.runpytest("--egress-backend=poor", "-rs")
    result.assert_outcomes(passed=1, skipped=4)
    result.stdout.fnmatch_lines_random(
        [
            "*backend poor lacks dial: it is far away",
            "*backend poor lacks pod-exec: it has no pod",
        ]
    )


def test_missing_package_names_the_extra(suite: pytest.Pytester) -> None:
    """One line with the command that brings it, no traceback."""
    suite.makeconftest(_POOR)
    suite.makepyfile("def test_probe(egress): ...")
    result = suite.runpytest("--egress-backend=absent")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        [
            "the backend absent needs the Python package no_such_package",
            "next step: pip install 'pytest-egress[[]docker[]]'",
        ]
    )
    result.stdout.no_fnmatch_line("*Traceback*")


def test_what_stays_at_the_end_is_told(suite: pytest.Pytester) -> None:
    """An error of its own, in the backend's words, without a traceback; what passed has passed."""
    suite.makeconftest(
        _POOR
        + """
    from pytest_egress.errors import BackendError

    class Untidy(Poor):
        def close(self):
            super().close()
            raise BackendError("left in the cluster: namespace a", "it said no", "clean up")

    def untidy(get):
        return Untidy(envoy=get("envoy"), pod_root=get("pod-root"))

    register(Kind("untidy", "conftest:untidy"))
"""
    )
    suite.makepyfile("def test_backend(egress_backend): assert egress_backend.name == 'poor'")
    result = suite.runpytest("--egress-backend=untidy")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(
        ["left in the cluster: namespace a", "  | it said no", "next step: clean up"]
    )
    result.stdout.no_fnmatch_line("*fixtures.py*")


def test_unknown_backend_names_the_nearest(suite: pytest.Pytester) -> None:
    """A usage error, with the spelling that was meant."""
    result = suite.runpytest("--egress-backend=locla")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--egress-backend=locla: expected *; did you mean local[?]"])

"""The pytest hooks: options, markers, header and failure sections. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_egress.fixtures import (
    CAPTURE,
    COMPARING,
    EXPECTATIONS,
    GATHERING,
    OUTCOMES,
    egress,
    egress_backend,
    egress_captured,
    egress_contract,
    egress_upstreams,
)
from pytest_egress.settings import SETTINGS, add_options, annotates, lookup

if TYPE_CHECKING:
    from pytest_egress.bypass.bypass import Bypass
    from pytest_egress.expectations import Expectation

__all__ = [
    "egress",
    "egress_backend",
    "egress_captured",
    "egress_contract",
    "egress_upstreams",
]

MARKERS = {
    "egress_contract(*sources)": "the contract of this test: paths or globs (relative to the test "
    "file) or YAML text.",
    "egress_policy(mode)": "the mesh's outboundTrafficPolicy for this test, REGISTRY_ONLY or "
    "ALLOW_ANY.",
    'egress_workload(namespace="default", **labels)': "the workload that asks in this test.",
    "egress_dns_proxy(enabled=True)": "whether Istio's agent resolves the pod's names in this "
    "test.",
    "egress_captured(enabled=True, *, on_blocked, exclude, trust)": "the test's own connections go "
    "through the pod's proxy; keywords are those of egress.capture(). False leaves the test out of "
    "egress_capture.",
    "egress_reachable(*urls, **options)": "before the test runs, each URL must be answered by the "
    "upstream that the contract declares; options are those of a probe (headers, sni, ...).",
    "egress_blocked(*urls, **options)": "before the test runs, the mesh must refuse each URL.",
    "egress_bypass(*urls, annotations=None)": "before the test runs, ways around the sidecar are "
    "tried (to each URL, else to what the contract declares) and told as advice; `annotations` are "
    "the pod's, in place of those in the contract's files.",
    "egress_resolves(*names, to=None)": "before the test runs, the pod's lookup of each name must "
    "give an address, exactly those of `to` where it is given.",
}
_EXPECTATIONS = ("egress_reachable", "egress_blocked", "egress_resolves")
_OF_SOCKETS = ("egress_backend", "egress_upstreams", "egress")  # fixtures that open some
_SECTION = "egress evidence"
_GATHERED = (
    *("cov", "cov-fail-under", "record"),
    *("json", "html", "sarif", "code-quality", "gitlab-annotations"),
)
_BYPASSES: pytest.StashKey[Iterable[Bypass]] = pytest.StashKey()
_CAPTURED: pytest.StashKey[str] = pytest.StashKey()
_MOST_OUTCOMES = 10  # in the section of one failing test


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register options and ini keys."""
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers."""
    for signature, meaning in MARKERS.items():
        config.addinivalue_line("markers", f"{signature}: {meaning}")
    backends = lookup(config, "backend")[0]
    if len(backends) > 1:
        from pytest_egress.comparing import Comparing

        config.stash[COMPARING] = comparing = Comparing(config, backends, _needs_pod)
        config.pluginmanager.register(comparing, "egress-comparing")
    if lookup(config, "mutate")[0]:
        from pytest_egress.mutation.plugins import register

        register(config)
    if lookup(config, "collect")[0]:
        from pytest_egress.collection.asked import extend_arguments

        extend_arguments(config)
    asked = any(lookup(config, name)[0] for name in _GATHERED)
    if asked or config.getoption("xmlpath", None) or annotates(config):
        from pytest_egress.gathering import Gathering

        config.stash[GATHERING] = gathering = Gathering(config)
        config.pluginmanager.register(gathering, "egress-gathering")


def pytest_report_header(config: pytest.Config) -> str | None:
    """One line for a run that has a contract: backend, Envoy, size of the contract, policy."""
    if not lookup(config, "contract")[0]:
        return None
    from pytest_egress.report.terminal import header

    return header(config)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Read the settings and the contract of the run, so that a mistake ends it with code 4."""
    config = session.config
    for setting in SETTINGS:
        lookup(config, setting.name)
    _check_required(config)
    if lookup(config, "contract")[0]:
        from pytest_egress.loading import loader

        loader(config).check_run()


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect a YAML file that the run is asked to check."""
    if file_path.suffix not in {".yaml", ".yml"}:
        return None
    from pytest_egress.collection.asked import asked

    if not asked(parent.config).takes(file_path):
        return None
    from pytest_egress.collection.items import ContractFile

    return ContractFile.from_parent(parent, path=file_path)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of xdist what the command line names: its own has more than that."""
    from pytest_egress.collection.asked import ASKED, asked

    node.workerinput[ASKED] = [str(path) for path in asked(node.config).named]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give tests with expectations the fixture they need; read the contracts that markers name."""
    for item in items:
        if not isinstance(item, pytest.Function):
            continue
        _add_capture(config, item)
        expects = any(item.get_closest_marker(name) for name in _EXPECTATIONS)
        if expects:
            _read_expectations(item)
        if (expects or item.get_closest_marker("egress_bypass")) and (
            "egress" not in item.fixturenames
        ):
            item.fixturenames.append("egress")
        if "egress" in item.fixturenames and item.get_closest_marker("egress_contract"):
            from pytest_egress.loading import loader

            loader(config).for_item(item)
    if any(EXPECTATIONS in item.stash for item in items):
        from pytest_egress.collection.items import group

        group(config, items)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    """Skip a test whose fixtures need what the backend lacks."""
    try:
        return (yield)
    except Exception as error:
        _skip_if_lacking(item.config, error)
        raise


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(fixturedef: Any, request: Any) -> None:
    """Tell a test that may have no socket at all why it can have no pod."""
    if fixturedef.argname in _OF_SOCKETS:
        import socket

        if socket.socket.__module__ != "socket":
            by = socket.socket.__module__
            # As one that has ended: else the run's backend would have failed for good.
            fixturedef.cached_result = (None, None, None)
            fixturedef.finish(request)
            pytest.fail(
                f"{by} refuses every socket in this test, those of the pod's proxy and of the "
                "simulated outside, too: mark the test with enable_socket, or run with "
                "--allow-hosts=127.0.0.1 in place of --disable-socket",
                pytrace=False,
            )


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Check the expectations of the markers, then run the test."""
    if isinstance(item, pytest.Function) and any(
        item.get_closest_marker(name) for name in _EXPECTATIONS
    ):
        from pytest_egress.expectations import check

        pod: Any = item.funcargs["egress"]
        outcome = None
        if EXPECTATIONS in item.stash:
            from pytest_egress.collection.ahead import made_ahead

            outcome = made_ahead(item, pod)
        failures = list(check(pod, _read_expectations(item), outcome))
        if failures:
            item.stash[OUTCOMES].clear()  # the failure itself tells them
            pytest.fail("\n\n".join(failures), pytrace=False)
    bypass = item.get_closest_marker("egress_bypass") if "egress" in _funcargs(item) else None
    if bypass is not None:
        from pytest_egress.bypass.marker import try_ways

        item.stash[_BYPASSES] = try_ways(item, bypass, _funcargs(item)["egress"])
    try:
        result = yield
    except BaseException as error:
        failure = _end_capture(item)
        if failure:
            item.stash[_CAPTURED] = failure
        _skip_if_lacking(item.config, error)
        raise
    failure = _end_capture(item)
    if failure:
        item.stash[OUTCOMES].clear()  # the failure tells what matters
        pytest.fail(failure, pytrace=False)
    return result


def _funcargs(item: pytest.Item) -> dict[str, Any]:
    """What an item's fixtures gave; empty for items without any."""
    return item.funcargs if isinstance(item, pytest.Function) else {}


def _add_capture(config: pytest.Config, item: pytest.Function) -> None:
    """Give a test whose connections are to be captured the fixture that does it."""
    if "egress_captured" not in item.fixturenames and _captures(config, item):
        item.fixturenames.append("egress_captured")


def _captures(config: pytest.Config, item: pytest.Function) -> bool:
    """Whether the settings or a marker ask for a test's connections to be captured."""
    if EXPECTATIONS in item.stash:
        return False  # it makes none of its own
    asked = lookup(config, "capture")[0] or lookup(config, "record")[0]
    if not asked and item.get_closest_marker("egress_captured") is None:
        return False
    from pytest_egress.loading import captures

    return captures(config, item)


def _needs_pod(config: pytest.Config, item: pytest.Function) -> bool:
    """Whether a test comes by its fixtures through markers or settings."""
    asking = (*_EXPECTATIONS, "egress_bypass")
    return any(map(item.get_closest_marker, asking)) or _captures(config, item)


def _check_required(config: pytest.Config) -> None:
    """See that the run uses the backends that its command line or environment requires.

    Raises:
        pytest.UsageError: it does not use one.
    """
    required, source = lookup(config, "require")
    chosen = lookup(config, "backend")[0]
    for name in required:
        if name not in chosen and source != "ini":
            raise pytest.UsageError(
                f"--egress-require={name}: the run does not use this backend; it uses "
                f"--egress-backend={','.join(chosen)}"
            )


def _skip_if_lacking(config: pytest.Config, error: BaseException) -> None:
    """Make a skip of what a backend cannot do, with its reason; a failure where it is required."""
    from pytest_egress.errors import CapabilityError

    if isinstance(error, CapabilityError):
        if error.backend in lookup(config, "require")[0]:
            reason = f"{error} (a failure by --egress-require)"
            raise pytest.fail.Exception(reason, pytrace=False) from None
        raise pytest.skip.Exception(str(error), _use_item_location=True) from None


def _end_capture(item: pytest.Item) -> str:
    """End the capture of a test with its function; what it found, empty if all is well."""
    capture = item.stash.get(CAPTURE, None)
    return capture.finish() if capture is not None else ""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the evidence of a failing test's outcomes, the latest first."""
    report = yield
    if call.when == "call" and report.failed and OUTCOMES in item.stash:
        outcomes = item.stash[OUTCOMES][::-1]
        shown = [outcome.explain() for outcome in outcomes[:_MOST_OUTCOMES]]
        if len(outcomes) > _MOST_OUTCOMES:
            shown.append(f"... and {len(outcomes) - _MOST_OUTCOMES} earlier outcomes")
        if shown:
            report.sections.append((_SECTION, "\n\n".join(shown)))
    if call.when == "call" and _BYPASSES in item.stash:
        from pytest_egress.bypass.marker import attach

        attach(report, item.stash[_BYPASSES])
    if call.when == "call" and report.failed and _CAPTURED in item.stash:
        report.sections.append(("egress capture", item.stash[_CAPTURED]))
    return report


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Show what the run's contract is warned of, and which ways lead around the sidecar."""
    if lookup(config, "contract")[0]:
        from pytest_egress.report.terminal import show_warnings

        show_warnings(terminalreporter, config)
    reports = [it for found in terminalreporter.stats.values() for it in found]
    if any(hasattr(it, "egress_bypasses") for it in reports):
        from pytest_egress.report.terminal import show_bypasses

        show_bypasses(terminalreporter, reports)


def _read_expectations(item: pytest.Item) -> list[Expectation]:
    """The expectations of an item's markers, in the order they are written.

    Raises:
        pytest.UsageError: a marker's arguments are wrong.
    """
    if EXPECTATIONS in item.stash:
        return item.stash[EXPECTATIONS]
    from pytest_egress import expectations
    from pytest_egress.errors import ProbeError

    found: list[Expectation] = []
    for mark in reversed(list(item.iter_markers())):
        if mark.name not in _EXPECTATIONS:
            continue
        build: Any = getattr(expectations, mark.name.removeprefix("egress_"))
        try:
            found.extend(build(*mark.args, **mark.kwargs))
        except (TypeError, ValueError, ProbeError) as error:
            raise pytest.UsageError(f"{item.nodeid}: {mark.name}: {error}") from None
    return found

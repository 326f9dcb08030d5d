"""The fixtures. Each of them can be overridden at any scope; none is autouse."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import pytest

from pytest_egress.settings import lookup
from pytest_egress.stash import BACKEND, CONTRACT

if TYPE_CHECKING:
    from pytest_egress.backends.protocol import Backend
    from pytest_egress.capture.calls import Calls
    from pytest_egress.capture.capture import Capture
    from pytest_egress.comparing import Comparing
    from pytest_egress.egress import Egress
    from pytest_egress.expectations import Expectation
    from pytest_egress.gathering import Gathering
    from pytest_egress.mutation.running import Mutation
    from pytest_egress.outcome import Outcome
    from pytest_egress.upstream import Upstreams

__all__ = [
    "CAPTURE",
    "COMPARING",
    "EXPECTATIONS",
    "GATHERING",
    "IN_TURN",
    "MUTATION",
    "OUTCOMES",
    "egress",
    "egress_backend",
    "egress_captured",
    "egress_contract",
    "egress_upstreams",
]

_T = TypeVar("_T")
_IN_TURN = 2  # proxies at a time: the one in use, and the one before

#: On a test's item: the capture that its fixture has begun.
CAPTURE: pytest.StashKey[Capture] = pytest.StashKey()

#: On the config: the plugin that compares backends, where several are named.
COMPARING: pytest.StashKey[Comparing] = pytest.StashKey()

#: On the item of a contract file: what is expected.
EXPECTATIONS: pytest.StashKey[list[Expectation]] = pytest.StashKey()

#: On the config: what the run has called, where that is asked for.
GATHERING: pytest.StashKey[Gathering] = pytest.StashKey()

#: On the config: whether the tests of one workload follow each other.
IN_TURN: pytest.StashKey[bool] = pytest.StashKey()

#: On the config: the plugin that runs tests under mutants, where that is asked for.
MUTATION: pytest.StashKey[Mutation] = pytest.StashKey()

#: On a test's item: what its probes found.
OUTCOMES: pytest.StashKey[list[Outcome]] = pytest.StashKey()


@pytest.fixture(scope="session")
def egress_backend(
    request: pytest.FixtureRequest, pytestconfig: pytest.Config
) -> Iterator[Backend]:
    """The backend that enforces contracts, shared by the whole run (each xdist worker has one).

    Where the settings name several, tests are parametrised with their names. A test that names its
    own: ``@pytest.mark.parametrize("egress_backend", ["kind"], indirect=True)``.
    """
    from pytest_egress.errors import BackendError
    from pytest_egress.loading import create_backend

    try:
        backend = create_backend(pytestconfig, getattr(request, "param", ""))
    except (BackendError, ValueError) as error:
        _fail(error)
    if hasattr(backend, "say"):
        backend.say = _speaker(pytestconfig)
    if pytestconfig.stash.get(IN_TURN, False) and hasattr(backend, "most_proxies"):
        backend.most_proxies = min(backend.most_proxies, _IN_TURN)
    backend.prepare()
    mutation = pytestconfig.stash.get(MUTATION, None)
    yield backend if mutation is None else mutation.watch(backend)
    try:
        backend.close()
    except BackendError as error:
        _fail(error)


def _speaker(config: pytest.Config) -> Callable[[str], None]:
    """Write lines about what lasts to the terminal, past pytest's capture; not in a worker."""
    from contextlib import nullcontext

    terminal = config.pluginmanager.getplugin("terminalreporter")
    capture = config.pluginmanager.getplugin("capturemanager")

    def say(line: str) -> None:
        if terminal is None:
            return
        with capture.global_and_fixture_disabled() if capture else nullcontext():
            terminal.ensure_newline()
            terminal.write_line(f"egress: {line}")

    return say


@pytest.fixture
def egress_contract(request: pytest.FixtureRequest) -> Any:
    """The contract of the test: a `Contract`.

    Override it, at any scope, with a fixture that returns a path, a list of paths, YAML text or a
    `Contract`.
    """
    from pytest_egress.loading import loader

    try:
        return loader(request.config).for_item(request.node)
    except pytest.UsageError as error:
        _fail(error)


@pytest.fixture
def egress_upstreams(
    request: pytest.FixtureRequest, egress_backend: Backend
) -> Iterator[Upstreams]:
    """The simulated outside, to script: ``egress_upstreams["api.weather.com"].respond(503)``.

    What a test scripts is gone when it ends. Override it to script at a wider scope.
    """
    with _backend_of(request, egress_backend).upstreams() as upstreams:
        yield upstreams


@pytest.fixture
def egress(
    request: pytest.FixtureRequest,
    egress_backend: Backend,
    egress_contract: Any,
    egress_upstreams: Upstreams,  # noqa: ARG001  its scripts must be there before the pod is
) -> Iterator[Egress]:
    """A test pod that lives under the contract: ``egress.get("https://api.weather.com")``."""
    from pytest_egress.egress import Egress
    from pytest_egress.errors import BackendError, ContractError
    from pytest_egress.loading import loader

    config, item = request.config, request.node
    backend = _backend_of(request, egress_backend)
    contracts = loader(config)
    try:
        given = contracts.read(item.stash.get(CONTRACT, egress_contract), item.path.parent)
        contract = contracts.with_policy(given, item)
        workload = contracts.workload(item, contract.mesh)
    except pytest.UsageError as error:
        _fail(error)
    mutation = config.stash.get(MUTATION, None)
    if mutation is not None:
        contract = mutation.enter(item, contract)
    mutated = mutation is not None and mutation.running
    outcomes: list[Outcome] = []
    item.stash[OUTCOMES] = outcomes
    on_outcome: list[Callable[[Outcome], None]] = [outcomes.append]
    on_calls: list[Callable[[Calls], None]] = []
    on_outcomes = on_lookup = None
    if mutation is not None:
        on_outcome.append(partial(mutation.add_outcome, test=item.nodeid))
        on_calls.append(partial(mutation.add_calls, test=item.nodeid))
    if GATHERING in config.stash and not mutated:
        gathering = config.stash[GATHERING]
        gathering.enter(contract, backend)
        on_outcome.append(partial(gathering.add_outcome, test=item.nodeid))
        on_calls.append(partial(gathering.add_calls, test=item.nodeid))
        on_lookup = partial(gathering.add_lookup, test=item.nodeid)
    if COMPARING in config.stash and not mutated:
        seen = config.stash[COMPARING].open(item)
        on_outcome.append(seen.add_outcome)
        on_outcomes = seen.add_many
        on_calls.append(seen.add_calls)
    pod = Egress(
        backend,
        contract,
        workload,
        timeout=lookup(config, "timeout")[0],
        on_outcome=partial(_each, on_outcome),
        on_outcomes=on_outcomes,
        on_calls=partial(_each, on_calls),
        on_lookup=on_lookup,
        exclude=lookup(config, "capture-exclude")[0],
        test=item.nodeid,
    )
    try:
        _ = pod.mesh
    except BackendError as error:
        if mutation is not None:
            mutation.refuse()
        _fail(error)
    except ContractError as error:
        if mutation is not None:
            mutation.refuse()
        ends_run = not hasattr(config, "workerinput") and COMPARING not in config.stash
        ends_run = ends_run and not mutated
        if ends_run and contracts.is_of_run(given):
            pytest.exit(f"the egress contract cannot be used\n{error}", pytest.ExitCode.USAGE_ERROR)
        _fail(error)
    yield pod
    pod.close()


@pytest.fixture
def egress_captured(request: pytest.FixtureRequest, egress: Egress) -> Iterator[Calls]:
    """The calls of the test's own code: its connections go through the pod's proxy.

    The capture begins with this fixture and ends with the test function.
    """
    from pytest_egress.errors import ProbeError
    from pytest_egress.loading import capture_options

    item = request.node
    try:
        capture = egress.capture(**capture_options(request.config, item))
    except (ProbeError, pytest.UsageError) as error:
        _fail(error)
    item.stash[CAPTURE] = capture
    yield capture.__enter__()
    failure = capture.finish()  # the test has not been called: another fixture failed
    del item.stash[CAPTURE]
    if failure:
        _fail(AssertionError(failure))


def _backend_of(request: pytest.FixtureRequest, given: Backend) -> Backend:
    """The backend of a test: the fixture's, of an item of a contract file its own."""
    from pytest_egress.errors import BackendError

    name = request.node.stash.get(BACKEND, given.name)
    if name == given.name:
        return given
    try:
        return request.config.stash[COMPARING].backend(name)
    except BackendError as error:
        _fail(error)


def _each(listeners: list[Callable[[_T], None]], what: _T) -> None:
    for tell in listeners:
        tell(what)


def _fail(error: Exception) -> NoReturn:
    """End the test's set-up with the error's own words: a traceback would tell of our code."""
    raise pytest.fail.Exception(str(error), pytrace=False) from None

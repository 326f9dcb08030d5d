"""Probes spread over several pods: which one they start in, and what if one is lost."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pytest_egress.backends.local import LocalBackend
from pytest_egress.backends.mesh import LocalMesh
from pytest_egress.backends.spread import Spread, at_once, counts_for_itself
from pytest_egress.contract import loads
from pytest_egress.contract.resources import Workload
from pytest_egress.egress import Egress
from pytest_egress.envoy import compile_contract
from pytest_egress.probe import Attempt, Failure, Options, Target
from pytest_egress.verdict import Observation, Verdict, judge
from tests.observed import documents, entry

TARGET, OPTIONS = Target.parse("http://api.weather.com"), Options()


class Mesh:
    """A mesh whose probes last until they are let go."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.there = True
        self.mended = 0
        self.held = threading.Event()
        self.held.set()
        self.began = threading.Semaphore(0)
        self.probed = 0

    def running(self) -> bool:
        """Whether the pod is there."""
        return self.there

    def usable(self) -> bool:
        """The same."""
        return self.there

    def mend(self) -> None:
        """Counted."""
        self.mended += 1

    def probe(self, target: Target, options: Options) -> Observation:
        """An attempt that tells where it was made, or that it was lost."""
        self.probed += 1
        self.began.release()
        assert self.held.wait(30)
        failure = None if self.there else Failure("lost", "the pod has gone")
        return Observation(Attempt(self.name, "tcp", self.there, failure, nonce=options.nonce))

    def stale(self, generation: int) -> bool:
        """By its number."""
        return generation > 1


@pytest.fixture
def pods() -> tuple[Mesh, Mesh, Mesh]:
    """Three of them."""
    return Mesh("first"), Mesh("second"), Mesh("third")


@pytest.fixture
def spread(pods: Any) -> Spread[Any]:
    """Over all three."""
    return Spread(pods)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    """For the probes that are under way."""
    with ThreadPoolExecutor(8) as executor:
        yield executor


def where(observation: Observation) -> str:
    """The pod that a probe started in."""
    return observation.attempt.target


def test_probes_one_after_the_other_start_in_the_first_pod(
    spread: Spread[Any], pods: tuple[Mesh, ...]
) -> None:
    """What follows from another one's effect on the proxy does so with any number of pods."""
    assert [where(spread.probe(TARGET, OPTIONS)) for _ in range(5)] == ["first"] * 5
    assert [it.probed for it in pods] == [5, 0, 0]
    assert spread.under_way == 0


def test_probes_at_the_same_time_are_shared_out(
    spread: Spread[Any], pods: tuple[Mesh, ...], threads: ThreadPoolExecutor
) -> None:
    """Each pod has the same number under way."""
    for pod in pods:
        pod.held.clear()
    under_way = [threads.submit(spread.probe, TARGET, OPTIONS) for _ in range(6)]
    for pod in pods:
        assert pod.began.acquire(timeout=30)
        assert pod.began.acquire(timeout=30)
    assert spread.under_way == 6
    for pod in pods:
        pod.held.set()
    assert sorted(where(it.result()) for it in under_way) == sorted(
        ["first", "second", "third"] * 2
    )


def test_lost_pod_takes_only_its_own_probes_along(
    spread: Spread[Any], pods: tuple[Mesh, ...], threads: ThreadPoolExecutor
) -> None:
    """They prove nothing; those to come start in the others, and it is not the definite one."""
    first, second, third = pods
    for pod in pods:
        pod.held.clear()
    under_way = [threads.submit(spread.probe, TARGET, OPTIONS) for _ in range(3)]
    for pod in pods:
        assert pod.began.acquire(timeout=30)
    first.there = False
    for pod in pods:
        pod.held.set()
    lost = [it.result() for it in under_way if it.result().attempt.failure is not None]
    assert [where(it) for it in lost] == ["first"]
    assert judge(lost[0]).verdict is Verdict.INCONCLUSIVE
    assert where(spread.probe(TARGET, OPTIONS)) == "second"
    assert spread.first is second
    assert spread.running()
    second.there = third.there = False
    assert not spread.running()
    assert where(spread.probe(TARGET, OPTIONS)) == "first"  # it says why there is no verdict


def test_pod_that_fails_is_looked_after_now_and_then(
    pods: Any,
) -> None:
    """Not with every probe, and less and less often; one that is well again takes its turns."""
    now = 0.0
    spread: Spread[Any] = Spread(pods, lambda: now)
    first, second, _ = pods
    first.there = False
    for expected, later in ((1, 0.0), (1, 1.0), (1, 2.5), (2, 5.0), (3, 0.0)):
        assert where(spread.probe(TARGET, OPTIONS)) == "second"
        assert first.mended == expected
        now += later
    assert second.mended == 0
    first.there = True
    assert where(spread.probe(TARGET, OPTIONS)) == "first"


def test_pods_that_all_fail_are_left_to_the_backend(
    spread: Spread[Any], pods: tuple[Mesh, ...]
) -> None:
    """Nobody mends what has nothing beside it."""
    for pod in pods:
        pod.there = False
    spread.probe(TARGET, OPTIONS)
    assert [it.mended for it in pods] == [0, 0, 0]


def test_stale_if_one_is(spread: Spread[Any]) -> None:
    """Every proxy must know the names as they are."""
    assert not spread.stale(1)
    assert spread.stale(2)


@pytest.mark.parametrize("count", [1, 3])
def test_at_once_keeps_the_order_and_ends_all(count: int) -> None:
    """A failure is told when everything has been done."""
    assert at_once(lambda number: number * 2, range(count)) == [n * 2 for n in range(count)]
    done: list[int] = []

    def fail(number: int) -> None:
        done.append(number)
        raise ValueError(number)

    with pytest.raises(ValueError, match=r"^0$"):
        at_once(fail, range(count))
    assert sorted(done) == list(range(count))


def rule(**policy: Any) -> str:
    """A DestinationRule for the host of the tests."""
    resource = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"name": "weather", "namespace": "default"},
        "spec": {"host": "api.weather.com", "trafficPolicy": policy},
    }
    return f"{json.dumps(resource)}\n"


@pytest.mark.parametrize(
    ("policy", "counts"),
    [
        (None, False),
        ({"tls": {"mode": "SIMPLE"}}, False),
        ({"connectionPool": {"tcp": {"connectTimeout": "3s"}}}, False),
        ({"connectionPool": {"tcp": {"maxConnections": 1}}}, True),
        ({"connectionPool": {"http": {"http2MaxRequests": 3}}}, True),
        ({"outlierDetection": {"consecutive5xxErrors": 2}}, True),
    ],
)
def test_what_a_proxy_counts_for_itself(policy: dict[str, Any] | None, counts: bool) -> None:
    """Limits and ejections are of one sidecar: several would have other answers than one."""
    rules = [] if policy is None else [rule(**policy)]
    text = documents(entry("weather", "api.weather.com", {80: "HTTP"}), *rules)
    program = compile_contract(loads(text), Workload())
    assert counts_for_itself(program) is counts


def test_matrix_asks_all_pods(backend: LocalBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a number of its own it has as many probes under way as there are pods."""
    asked: list[int] = []

    def several(_self: Egress, attempts: list[Any], concurrency: int) -> list[None]:
        asked.append(concurrency)
        return [None] * len(attempts)

    monkeypatch.setattr(Egress, "_attempt_each", several)
    egress = Egress(backend, loads(documents(entry("weather", "api.weather.com", {80: "HTTP"}))))
    egress.matrix(["default"], ["http://api.weather.com"])
    monkeypatch.setattr(LocalMesh, "pods", 4)
    egress.matrix(["default"], ["http://api.weather.com"])
    egress.matrix(["default"], ["http://api.weather.com"], concurrency=2)
    assert asked == [1, 4, 2]

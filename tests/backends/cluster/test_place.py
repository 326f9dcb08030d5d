"""Test pods that are lost: which are left out, and when all begins anew."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_egress.backends.cluster.place import Place
from pytest_egress.contract.resources import Workload
from pytest_egress.errors import BackendError

SHOP = Workload("shop")


class Proxy:
    """A sidecar in a pod that is there or gone, which has what is applied or never gets it."""

    def __init__(self, name: str, failure: str = "", *, there: bool = True) -> None:
        self.control_failure = failure
        self.generation = 1
        self.there = there
        self.closed = False
        self.pod = SimpleNamespace(
            namespace="egress-1-shop",
            name=name,
            exists=lambda: self.there,
            close=self.close,
        )

    def close(self) -> None:
        """The pod is let go."""
        self.closed = True

    def wait(self, timeout: float) -> None:
        """It comes, or it does not."""
        del timeout
        if self.control_failure:
            raise BackendError(f"{self.pod.name} does not have the contract")


@pytest.fixture
def said() -> list[str]:
    """What the terminal shows."""
    return []


@pytest.fixture
def place(said: list[str]) -> Callable[..., Any]:
    """A place with pods of one workload."""

    def make(*proxies: Proxy, busy: bool = False) -> Any:
        nobody: Any = None
        place: Any = Place(
            nobody,
            "egress-1",
            nobody,
            nobody,
            pod_image="",
            pods=len(proxies),
            service_account="default",
            revision="",
            live=False,
            pod_root="/",
            keep=False,
            timeout=1.0,
            say=said.append,
            bring=lambda _: None,
        )
        place._proxies = [(SHOP, it) for it in proxies]
        place._meshes = SimpleNamespace(
            busy=lambda _: busy, forget_lost=lambda: None, clear=lambda: None
        )
        return place

    return make


def left(place: Any) -> list[str]:
    """The pods that there are."""
    return [proxy.pod.name for _, proxy in place._proxies]


def test_pod_that_is_gone_is_left_out(place: Callable[..., Any], said: list[str]) -> None:
    """The others go on, under the same names."""
    gone = Proxy("one", "no record", there=False)
    made = place(gone, Proxy("two"))
    made._must_be_there()
    assert left(made) == ["two"]
    assert gone.closed
    assert said == ["the run goes on without the test pod egress-1-shop/one: it is gone"]


@pytest.mark.parametrize("there", [True, False])
def test_nobody_waits_for_one_that_fails(
    place: Callable[..., Any], said: list[str], there: bool
) -> None:
    """While probes are under way in the others, and where it may come back."""
    made = place(Proxy("one", "no record", there=there), Proxy("two"), busy=not there)
    made._must_be_there()
    assert left(made) == ["one", "two"]
    assert not said


def test_all_begins_anew_where_none_is_left(place: Callable[..., Any], said: list[str]) -> None:
    """Under other names: those of a namespace that is being removed are taken."""
    proxies = [Proxy(name, "no record", there=False) for name in ("one", "two")]
    made = place(*proxies)
    before = made._applied.layout.name("shop")
    made._must_be_there()
    assert left(made) == []
    assert all(it.closed for it in proxies)
    assert said == ["a test pod is gone: the run's namespaces are made anew"]
    assert made._applied.layout.name("shop") != before


def test_pod_that_was_never_used_is_not_looked_at(place: Callable[..., Any]) -> None:
    """It has no control yet, and its contract is asked of one pod alone."""
    unused = Proxy("two", "no positive control has passed through this proxy", there=False)
    unused.generation = 0
    made = place(Proxy("one"), unused)
    made._must_be_there()
    assert left(made) == ["one", "two"]


def test_proxy_without_the_contract_is_left_out(place: Callable[..., Any], said: list[str]) -> None:
    """The others have it."""
    first, second = Proxy("one"), Proxy("two", "warming")
    made = place(first, second)
    made._applied.generation = 7
    had: list[Any] = []
    made._wait([first, second], had.append, others=False)
    assert had == [first]
    assert (first.generation, left(made)) == (7, ["one"])
    assert said == [
        "the run goes on without the test pod egress-1-shop/two: two does not have the contract"
    ]


def test_no_proxy_with_the_contract_is_an_error(place: Callable[..., Any], said: list[str]) -> None:
    """The first one's words; all stay, to be waited for again."""
    proxies = Proxy("one", "warming"), Proxy("two", "warming")
    made = place(*proxies)
    with pytest.raises(BackendError, match="one does not have the contract"):
        made._wait(proxies, lambda _: None, others=False)
    assert left(made) == ["one", "two"]
    assert not said

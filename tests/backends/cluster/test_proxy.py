"""When a sidecar is taken to have a contract."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_egress.backends.cluster.admin import Admin
from pytest_egress.backends.cluster.proxy import SidecarProxy
from pytest_egress.errors import BackendError

_STAT = "listener_manager.total_listeners_warming"


class Pod:
    """A pod whose proxy has so many listeners that warm, asked one time after the other."""

    namespace, name, witness, directory = "shop", "test-pod-0", None, None

    def __init__(self, *warming: int) -> None:
        self._warming = list(warming)
        self.asked = 0

    @property
    def admin(self) -> Pod:
        """Its proxy's own server."""
        return self

    def warming(self) -> int:
        """As the proxy says at this moment; the last stays."""
        self.asked += 1
        return self._warming.pop(0) if len(self._warming) > 1 else self._warming[0]

    def check(self) -> None:
        """It is there."""

    def refused(self) -> str:
        """Nothing."""
        return ""


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Callable[[Pod], SidecarProxy]:
    """A proxy through which the control passes."""
    monkeypatch.setattr(SidecarProxy, "_control", lambda _self: "")

    def make(pod: Any) -> SidecarProxy:
        reading: Any = SimpleNamespace(program=None)
        outside: Any = None
        return SidecarProxy(pod, reading, outside, lambda _text: None, live=False)

    return make


def test_listeners_that_warm_are_waited_for(proxy: Callable[[Pod], SidecarProxy]) -> None:
    """The control passes before they take connections."""
    pod = Pod(2, 1, 0)
    made = proxy(pod)
    made.wait(30)
    assert pod.asked == 3
    assert made.control_failure == ""


def test_listeners_that_never_get_warm_are_told(proxy: Callable[[Pod], SidecarProxy]) -> None:
    """A proxy in that state proves nothing."""
    made = proxy(Pod(1))
    with pytest.raises(BackendError, match="1 of its listeners are warming"):
        made.wait(0.01)
    assert made.control_failure


@pytest.mark.parametrize(("told", "warming"), [(f"{_STAT}: 3\n", 3), (f"{_STAT}: 0\n", 0), ("", 0)])
def test_how_many_are_warming(monkeypatch: pytest.MonkeyPatch, told: str, warming: int) -> None:
    """A proxy that leaves the statistic out says nothing of it."""
    monkeypatch.setattr(Admin, "ask", lambda _self, _path: told)
    assert Admin.__new__(Admin).warming() == warming

"""Images in a cluster's test pod, as far as it goes without a cluster."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_egress.backends.cluster.commands import Marks, _plain
from pytest_egress.backends.cluster.ephemeral import failed, state, stuck
from pytest_egress.backends.cluster.rbac import Review, check_extra
from pytest_egress.errors import BackendError


def test_what_comes_before_the_mark_is_dropped() -> None:
    """A cluster says that it is attached before it is: only then a mark comes through."""
    marks = Marks()
    first = marks.next()
    assert not marks.wait(0.0)
    second = marks.next()
    assert marks.feed(1, first + second[:5]) == b""
    assert not marks.wait(0.0)
    assert marks.feed(1, second[5:] + b"own") == b"own"
    assert marks.feed(1, first) == first  # whatever follows is the container's own
    assert not marks.wait(0.0)
    assert marks.feed(2, second) == b""
    assert marks.wait(0.0)
    assert marks.feed(2, b"trouble") == b"trouble"


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({}, ""),
        ({"running": {}}, ""),
        ({"waiting": {"reason": "ContainerCreating"}}, ""),
        ({"waiting": {"reason": "ErrImagePull", "message": "may be there in a moment"}}, ""),
        ({"waiting": {"reason": "ImagePullBackOff", "message": "no"}}, "ImagePullBackOff: no"),
        ({"waiting": {"reason": "InvalidImageName"}}, "InvalidImageName"),
        ({"terminated": {"reason": "Completed", "exitCode": 0}}, ""),
        ({"terminated": {"reason": "StartError", "message": "no sh"}}, "StartError: no sh"),
    ],
)
def test_container_that_will_not_start(told: dict[str, Any], why: str) -> None:
    """Told at once; what may still come is waited for."""
    assert stuck(told) == why


def test_state_of_a_container_that_was_added() -> None:
    """By its name; nothing before the cluster has taken note of it."""
    statuses = [{"name": "a", "state": {"running": {}}}, {"name": "b", "state": {}}]
    pod = {"status": {"ephemeralContainerStatuses": statuses}}
    assert state(pod, "a") == {"running": {}}
    assert state(pod, "b") == {}
    assert state({}, "a") == {}
    assert failed({"waiting": {"reason": "RunContainerError"}})
    assert not failed({"waiting": {"reason": "ImagePullBackOff"}})


def test_text_is_taken_as_it_is() -> None:
    """``$$`` is Kubernetes' own way to write ``$``."""
    assert _plain("$(HOME) $$ $x") == "$$(HOME) $$$$ $$x"


def test_rights() -> None:
    """Asked for when an image is run, in the pod's own namespace."""
    asked = []

    def may(review: Review) -> bool:
        asked.append(str(review))
        return review.verb != "*" and review.resource != "pods/attach"

    with pytest.raises(BackendError, match="context staging lacks rights") as caught:
        check_extra(may, "pod-run", "shop", "staging")
    assert sorted(asked) == [
        "* *.* in all namespaces",
        "create pods/attach in namespace shop",
        "get pods/attach in namespace shop",
        "patch pods/ephemeralcontainers in namespace shop",
    ]
    assert "may not get pods/attach in namespace shop" in caught.value.output
    assert "pytest-egress rbac --pod-run" in caught.value.next_step

"""An API server that is slow, silent, gone, or no longer lets the account in."""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pytest_egress.backends.cluster.api import Api, ApiError
from pytest_egress.backends.cluster.backend import ClusterBackend
from pytest_egress.contract import loads
from pytest_egress.egress import Egress
from pytest_egress.errors import BackendError
from pytest_egress.verdict import Verdict
from tests.kind.account import account
from tests.kind.apiserver import ApiProxy, proxied
from tests.kind.conftest import CONTRACT

IMAGE = os.environ.get("PYTEST_EGRESS_POD_IMAGE", "python:3.13-slim")
URL = "https://api.example.com"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ApiProxy]:
    """The API server, as far as the backend knows."""
    with proxied(Path(os.environ["KUBECONFIG"]), tmp_path) as proxy:
        yield proxy


class Run:
    """A backend behind that server, with what it says."""

    def __init__(self, server: ApiProxy, timeout: float) -> None:
        self.said: list[str] = []
        api = Api(kubeconfig=str(server.kubeconfig), timeout=timeout)
        self.backend = ClusterBackend(api, pod_image=IMAGE, say=self.said.append)
        self.egress = Egress(self.backend, loads(CONTRACT), timeout=10.0)


@pytest.fixture
def run(server: ApiProxy, api: Api) -> Iterator[Callable[..., Run]]:
    """Makes runs; what one could not remove is removed at the end."""
    with ExitStack() as stack:

        def make(*, timeout: float = 30.0) -> Run:
            made = Run(server, timeout)
            stack.callback(made.backend.close)
            return made

        yield make


def left_by(api: Api, error: BackendError) -> list[str]:
    """The namespaces that an error names, which are there indeed; they are removed."""
    names = re.findall(r"namespace (egress-\S+?)(?:,|$)", error.tried)
    for name in names:
        assert api.get(f"/api/v1/namespaces/{name}", "look")["metadata"]["name"] == name
        api.delete(f"/api/v1/namespaces/{name}", "delete it")
    return names


def test_slow_api_server(server: ApiProxy, run: Callable[..., Run]) -> None:
    """Five seconds a call: a run takes its time and says so, the verdicts are the same."""
    server.delay = 5.0
    made = run()
    assert made.egress.get(URL).reachable
    assert made.egress.get("https://evil.example").blocked
    assert any("rights" in line for line in made.said)
    begun = time.monotonic()
    assert made.egress.get(URL).reachable
    assert time.monotonic() - begun < 5.0  # a probe asks nothing of the API server
    server.delay = 0.0


def test_gone_in_the_middle(server: ApiProxy, run: Callable[..., Run]) -> None:
    """What is in flight proves nothing, what follows is told, and it goes on when it is back."""
    made = run(timeout=5.0)
    assert made.egress.get(URL).reachable
    server.go()
    outcome = made.egress.get(URL)
    assert outcome.verdict is Verdict.INCONCLUSIVE, outcome
    with pytest.raises(BackendError, match="does not answer as it should"):
        made.egress.get(URL)
    server.come_back()
    assert made.egress.get(URL).reachable


def test_gone_at_the_end(server: ApiProxy, run: Callable[..., Run], api: Api) -> None:
    """What stays is named, and everything on this machine is closed all the same."""
    made = run(timeout=5.0)
    assert made.egress.get(URL).reachable
    directory = made.backend.directory().path
    server.go()
    with pytest.raises(BackendError, match="left in the cluster") as caught:
        made.backend.close()
    assert left_by(api, caught.value)
    assert "pytest-egress clean" in caught.value.next_step
    assert not directory.exists()


def test_silent_in_the_middle(server: ApiProxy, run: Callable[..., Run]) -> None:
    """Each question ends within its time; a stream that is there goes on."""
    made = run(timeout=1.0)
    assert made.egress.get(URL).reachable
    server.silence = re.compile("")
    assert made.egress.get(URL).reachable
    begun = time.monotonic()
    with pytest.raises(ApiError, match="does not answer as it should"):
        made.egress.with_policy("ALLOW_ANY").get(URL)
    assert time.monotonic() - begun < 10.0
    server.silence = None
    assert made.egress.get(URL).reachable


def test_stream_that_is_not_answered(server: ApiProxy, run: Callable[..., Run]) -> None:
    """Exec has a time as every request has."""
    server.silence = re.compile("/exec")
    made = run(timeout=2.0)
    with pytest.raises(BackendError, match="cannot start a command in egress-") as caught:
        made.egress.get(URL)
    assert "timed out" in caught.value.output


def test_credentials_that_expire_in_the_middle(api: Api, tmp_path: Path) -> None:
    """A stream that is there goes on; what is asked next says to log in, what stays is named."""
    with account(api, f"egress-test-{secrets.token_hex(4)}", "isolated") as mine:
        asking = Api(kubeconfig=mine.kubeconfig(Path(os.environ["KUBECONFIG"]), tmp_path))
        backend = ClusterBackend(asking, pod_image=IMAGE)
        egress = Egress(backend, loads(CONTRACT), timeout=10.0)
        assert egress.get(URL).reachable
        mine.delete()
        deadline = time.monotonic() + 60
        while _lets_in(asking):  # the API server remembers it for some seconds
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert egress.get(URL).reachable
        with pytest.raises(ApiError, match="says 401") as caught:
            egress.with_policy("ALLOW_ANY").get(URL)
        assert "log in" in caught.value.next_step
        with pytest.raises(BackendError, match="left in the cluster") as left:
            backend.close()
        assert left_by(api, left.value)
        assert "log in" in left.value.output


def _lets_in(api: Api) -> bool:
    try:
        api.get("/api/v1/namespaces", "list namespaces")
    except ApiError as error:
        if error.status != 401:
            raise
        return False
    return True

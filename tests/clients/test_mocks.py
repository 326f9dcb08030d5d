"""Libraries that replace a client's transport win: what they answer never becomes a connection."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

import pytest
import requests

from pytest_egress.egress import Egress

UP = "https://up.example.com/"
EVIL = "https://evil.example/"


@pytest.fixture
def pod(pods: Mapping[str, Egress]) -> Egress:
    """A pod in a closed mesh."""
    return pods["REGISTRY_ONLY"]


@pytest.mark.parametrize("inside", [False, True], ids=["around", "inside"])
def test_responses(pod: Egress, inside: bool) -> None:
    """What responses answers is no call, also of a host that is not declared; the rest is one."""
    responses = import_module("responses")
    mock, capture = responses.RequestsMock(), pod.capture()
    managers = (capture, mock) if inside else (mock, capture)
    with managers[0], managers[1]:
        mock.get(EVIL, body="mocked")
        mock.add_passthru(UP)
        assert requests.get(EVIL, timeout=20).text == "mocked"
        assert requests.get(UP, timeout=20).headers["x-egress-upstream"]
    assert capture.log.calls.hosts == {"up.example.com"}


@pytest.mark.parametrize("inside", [False, True], ids=["around", "inside"])
def test_respx(pod: Egress, inside: bool) -> None:
    """The same of respx and httpx."""
    httpx, respx = import_module("httpx"), import_module("respx")
    mock, capture = respx.mock(), pod.capture()
    managers = (capture, mock) if inside else (mock, capture)
    with managers[0], managers[1]:
        mock.get(EVIL).respond(text="mocked")
        mock.get(UP).pass_through()
        assert httpx.get(EVIL, timeout=20).text == "mocked"
        assert httpx.get(UP, timeout=20).headers["x-egress-upstream"]
    assert capture.log.calls.hosts == {"up.example.com"}


@pytest.mark.parametrize("inside", [False, True], ids=["around", "inside"])
def test_vcrpy(pod: Egress, tmp_path: Path, inside: bool) -> None:
    """What it records is a call, with the outside's answer; what it plays back is none."""
    vcr = import_module("vcr")
    texts = []
    for count in (1, 0):
        cassette = vcr.use_cassette(str(tmp_path / "cassette.yaml"))
        capture = pod.capture()
        managers = (capture, cassette) if inside else (cassette, capture)
        with managers[0], managers[1]:
            texts.append(requests.get(UP, timeout=20).headers["x-egress-upstream"])
        assert len(capture.log.calls) == count
    assert texts[0] == texts[1]

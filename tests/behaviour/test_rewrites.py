"""What the upstream sees of a request that a route changes on its way."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import Pod
from .contracts import HOST, URL, host, route


def test_request_headers(pod: Pod, promised: bool) -> None:
    """Set replaces, add adds, remove removes: the upstream is the witness."""
    operations = {
        "set": {"x-team": "mesh"},
        "add": {"x-hop": "sidecar"},
        "remove": ["x-secret"],
    }
    egress = pod(host(), route(promised, headers={"request": operations}))
    sent = {"x-team": "client", "x-hop": "client", "x-secret": "42"}
    [request] = egress.get(URL, headers=sent).requests
    assert request.headers["x-team"] == ("mesh" if promised else "client")
    assert request.headers.all("x-hop") == (["client", "sidecar"] if promised else ["client"])
    assert ("x-secret" in request.headers) is not promised


def test_response_headers(pod: Pod, promised: bool) -> None:
    """What the client gets is changed as well."""
    operations = {"set": {"cache-control": "no-store"}, "remove": ["x-internal"]}
    egress = pod(host(), route(promised, headers={"response": operations}))
    egress.upstream(HOST).respond(200, {"cache-control": "public", "x-internal": "1"})
    outcome = egress.get(URL)
    assert outcome.headers.get("cache-control") == ("no-store" if promised else "public")
    assert (outcome.headers.get("x-internal") is None) is promised


@pytest.mark.parametrize(
    ("rewrite", "path"),
    [
        ({"uri": "/v2/"}, "/v2/forecast?q=1"),
        ({"uriRegexRewrite": {"match": "^/v1/(.*)$", "rewrite": r"/\1/v9"}}, "/forecast/v9?q=1"),
    ],
)
def test_path(pod: Pod, promised: bool, rewrite: dict[str, Any], path: str) -> None:
    """The path is changed, the query is kept."""
    match = {"match": [{"uri": {"prefix": "/v1/"}}]}
    egress = pod(host(), route(promised, base=match, rewrite=rewrite))
    [request] = egress.get(f"{URL}/v1/forecast?q=1").requests
    assert request.path == (path if promised else "/v1/forecast?q=1")


def test_authority(pod: Pod, promised: bool) -> None:
    """The same upstream is asked, by another name."""
    egress = pod(host(), route(promised, rewrite={"authority": "other.example.com"}))
    outcome = egress.get(URL)
    [request] = outcome.requests
    assert request.host == ("other.example.com" if promised else HOST)
    assert outcome.upstream.host == HOST
    assert egress.upstream(HOST).count == 1
    assert egress.upstream("other.example.com").count == 0


def test_destination_headers(pod: Pod, promised: bool) -> None:
    """Headers can belong to one destination of a route."""
    destination: dict[str, Any] = {"destination": {"host": HOST}}
    if promised:
        destination["headers"] = {"request": {"set": {"x-version": "v2"}}}
    egress = pod(host(), route(to=[destination]))
    [request] = egress.get(URL).requests
    assert request.headers.get("x-version") == ("v2" if promised else None)

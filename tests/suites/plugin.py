"""The pytest plugin that puts another project's tests behind the contract; their files stay as is.

What they call on loopback has a name of the simulated outside, where the same application answers:
httpbin for requests, the ASGI application of its own conftest for httpx.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_egress.egress import Egress
from pytest_egress.upstream import Upstreams

SERVER = "server.example"
HTTPBIN = ("httpbin.example", "httpbin.org")
# What the suites take for names that nobody has.
NOBODY = ("doesnotexist.google.com", "non-resolvable-address")


@pytest.fixture
def httpbin() -> SimpleNamespace:
    """In place of pytest-httpbin's."""
    return SimpleNamespace(url=f"http://{HTTPBIN[0]}")


@pytest.fixture
def httpbin_secure() -> SimpleNamespace:
    """In place of pytest-httpbin's."""
    return SimpleNamespace(url=f"https://{HTTPBIN[0]}")


@pytest.fixture
def httpbin_ca_bundle(egress: Egress) -> str:
    """The CA of the certificate that httpbin shows."""
    mesh: Any = egress.mesh
    return str(mesh.ca_file)


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(fixturedef: Any) -> object | None:
    """In place of httpx's fixture ``server``, a uvicorn on a fixed port of loopback."""
    if fixturedef.argname != "server":
        return None
    url = import_module("httpx").URL(f"http://{SERVER}/")
    fixturedef.cached_result = (SimpleNamespace(url=url), None, None)
    return fixturedef.cached_result[0]  # type: ignore[no-any-return]


@pytest.fixture(autouse=True)
def outside(egress_upstreams: Upstreams) -> None:
    """What stands at the names."""
    application = getattr(sys.modules.get("tests.conftest"), "app", None)
    if application is not None:
        egress_upstreams[SERVER].to(application)
    else:
        for name in HTTPBIN:
            egress_upstreams[name].to(import_module("httpbin").app)
    for name in NOBODY:
        egress_upstreams[name].nxdomain()

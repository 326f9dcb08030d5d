"""A small suite for pytester: a contract of two entries and the ini file that names it."""

from __future__ import annotations

import textwrap

import pytest

# In-process pytester runs drop what they imported; neither extension can be imported twice.
import trustme  # noqa: F401
import yaml  # noqa: F401

CONTRACT = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata:
  name: weather
  namespace: weather
spec:
  hosts:
  - api.weather.com
  location: MESH_EXTERNAL
  ports:
  - number: 443
    name: https
    protocol: HTTPS
  - number: 80
    name: http
    protocol: HTTP
  resolution: DNS
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata:
  name: private
  namespace: weather
spec:
  hosts:
  - private.example.com
  exportTo: ["."]
  location: MESH_EXTERNAL
  ports:
  - number: 443
    name: https
    protocol: HTTPS
  resolution: DNS
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A directory with the contract, an ini file and no tests yet."""
    for name in (
        "PYTEST_EGRESS_CONTRACT",
        "PYTEST_EGRESS_POLICY",
        "PYTEST_ADDOPTS",
        "GITHUB_ACTIONS",
    ):
        monkeypatch.delenv(name, raising=False)
    directory = pytester.mkdir("deploy")
    (directory / "egress.yaml").write_text(CONTRACT)
    pytester.makeini(
        textwrap.dedent(
            """\
            [pytest]
            egress_contract = deploy/*.yaml
            addopts = -p no:cacheprovider -p no:hypothesispytest -p no:pytest_httpserver
            filterwarnings = error
            """
        )
    )
    return pytester

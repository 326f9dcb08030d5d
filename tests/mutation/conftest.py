"""Suites whose contracts are changed: the example, and a small one with gaps."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

# In-process pytester runs drop what they imported; neither extension can be imported twice.
import trustme  # noqa: F401
import yaml  # noqa: F401

EXAMPLE = Path(__file__).parents[2] / "examples/guarded"
CONTRACT = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a}
spec: {hosts: [a.test], ports: [{number: 443, name: tls, protocol: TLS}], resolution: DNS}
"""


@pytest.fixture
def guarded(pytester: pytest.Pytester) -> pytest.Pytester:
    """The example, in a directory of its own."""
    shutil.copytree(EXAMPLE, pytester.path, dirs_exist_ok=True)
    return pytester


@pytest.fixture
def small(pytester: pytest.Pytester) -> pytest.Pytester:
    """A contract of one entry, and a test that notices when its host or port is gone."""
    pytester.makeini("[pytest]\negress_contract = a.yaml\n")
    (pytester.path / "a.yaml").write_text(CONTRACT)
    pytester.makepyfile(
        test_a="""
        def test_a(egress):
            assert egress.tls("a.test").reachable

        def test_other():
            pass
        """
    )
    return pytester


def survivors(result: pytest.RunResult) -> set[str]:
    """The operators of the mutants that are listed."""
    return {
        line.split(": ")[2] for line in result.outlines if line.startswith("survived: ")
    }  # fmt: skip

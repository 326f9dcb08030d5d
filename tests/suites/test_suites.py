"""The suites of requests and httpx, of the versions installed, as their archives have them.

`tox -e suites` has what they need, and the package index to fetch the archives from.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


# Names of the simulated outside, behind which the suites' own servers stand.
CONTRACT = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: suites}
spec:
  hosts: [httpbin.example, httpbin.org, server.example]
  location: MESH_EXTERNAL
  resolution: DNS
  ports:
  - {number: 80, name: http, protocol: HTTP}
  - {number: 443, name: https, protocol: HTTPS}
"""


@dataclass(frozen=True, slots=True)
class Suite:
    """Tests of a package.

    Attributes:
        package: its name in the index.
        tests: the files to run.
        least: how many tests have to pass: about as many as did when this was written.
        ports: how many declared hosts and ports they have called, by the proxy's record.
        left_out: tests that cannot hold behind a sidecar or with the outside's CA, each with why.
        arguments: further arguments of pytest.
    """

    package: str
    tests: tuple[str, ...]
    least: int
    ports: int
    left_out: dict[str, str]
    arguments: tuple[str, ...] = ()


SUITES = [
    Suite(
        "requests",
        ("tests/test_requests.py", "tests/test_lowlevel.py"),
        330,
        3,
        {
            "test_connect_timeout": "a sidecar accepts every connection at once",
            "test_total_timeout_connect": "as above",
            "test_certificate_failure": "the CA is to be unknown; a capture has it trusted",
            "test_basicauth_with_netrc_leak": "its netrc is for httpbin on loopback",
        },
        ("-p", "no:httpbin"),
    ),
    Suite(
        "httpx",
        ("tests",),
        1380,
        1,
        {
            "test_main": "the command prints every header, and a sidecar adds some",
            "test_logging": "the log has the server's name, which is another here",
            "test_timeouts": "they end before anything is sent: there is no proof of any verdict",
            "test_httpcore_exception_mapping": "it calls a port that nothing declares",
        },
        ("-m", "not network"),
    ),
]


def _archive(package: str, directory: Path) -> Path:
    """The package's own archive, unpacked."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary=:all:"]
    wanted = f"{package}=={version(package)}"
    subprocess.run([*command, f"--dest={directory}", wanted], check=True)
    [file] = directory.glob("*.tar.gz")
    with tarfile.open(file) as archive:
        archive.extractall(directory, filter="data")
    return directory / file.name.removesuffix(".tar.gz")


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.package)
def test_suite_of_another_project(suite: Suite, tmp_path: Path) -> None:
    """All of it passes, and its calls have gone through the proxy."""
    directory = _archive(suite.package, tmp_path)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += ["-p", "suites_plugin", "--egress-capture", "--egress-cov", *suite.arguments]
    (directory / "egress.yaml").write_text(CONTRACT)
    command.append("--egress-contract=egress.yaml")
    command += ["-k", " and ".join(f"not {name}" for name in suite.left_out)]
    (directory / "suites_plugin.py").write_text((ROOT / "tests/suites/plugin.py").read_text())
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{directory}"}
    environment["PYTEST_ADDOPTS"] = ""
    done = subprocess.run(
        [*command, *suite.tests],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    print(done.stdout)  # noqa: T201 - for the report of a failure
    assert done.returncode == 0, done.stdout
    passed = re.search(r"^(\d+) passed\b", done.stdout, re.MULTILINE)
    assert passed, done.stdout
    assert int(passed[1]) >= suite.least, done.stdout
    exercised = re.search(r"^(\d+) of \d+ declared .* exercised", done.stdout, re.MULTILINE)
    assert exercised, done.stdout
    assert int(exercised[1]) >= suite.ports, done.stdout

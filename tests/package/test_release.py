"""Wheel and source archive: complete, nothing else in them, metadata that an index takes."""

from __future__ import annotations

import configparser
import email
import email.message
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.docs.pages import ROOT
from tests.package.conftest import Release

# What stays in the repository; everything else is in the source archive.
NOT_RELEASED = {".ci", ".github", ".gitignore"}


def tracked(*below: str) -> set[str]:
    """The files of the project, as git knows them."""
    command = ["git", "ls-files", "-z", "--", *below]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return {name for name in done.stdout.split("\0") if name and ROOT.joinpath(name).exists()}


def metadata(release: Release) -> email.message.Message:
    """The wheel's metadata."""
    with zipfile.ZipFile(release.wheel) as wheel:
        [name] = [it for it in wheel.namelist() if it.endswith(".dist-info/METADATA")]
        return email.message_from_bytes(wheel.read(name))


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """What a program prints; it ends with 0."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "PYTHON"))}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**clean, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_wheel_has_the_package_and_nothing_else(release: Release) -> None:
    """Every file below pytest_egress, data files and py.typed with it; licence and entry points."""
    with zipfile.ZipFile(release.wheel) as wheel:
        names = set(wheel.namelist())
        [entry_points] = [it for it in names if it.endswith(".dist-info/entry_points.txt")]
        written = wheel.read(entry_points).decode()
    package = {name for name in names if ".dist-info/" not in name}
    assert package == tracked("pytest_egress")
    assert "pytest_egress/py.typed" in package
    meta = {name.partition(".dist-info/")[2] for name in names - package}
    assert meta == {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"}
    entries = configparser.ConfigParser()
    entries.read_string(written)
    assert dict(entries["pytest11"]) == {"egress": "pytest_egress.plugin"}
    assert dict(entries["console_scripts"]) == {"pytest-egress": "pytest_egress.cli:main"}


def test_source_archive_has_what_packagers_need(release: Release) -> None:
    """Everything but what is of the repository itself: the tests run from it."""
    with tarfile.open(release.archive) as archive:
        members = archive.getmembers()
    assert all(member.isfile() for member in members)
    names = {member.name.partition("/")[2] for member in members}
    wanted = {it for it in tracked() if it.partition("/")[0] not in NOT_RELEASED}
    assert names - {"PKG-INFO"} - {".gitignore"} == wanted
    assert {"PKG-INFO", "tests/conftest.py", "examples/weather/weather.py"} <= names


def test_metadata(release: Release) -> None:
    """Name, version, licence, Python versions and description, as the project states them."""
    told = metadata(release)
    project = ROOT.joinpath("pyproject.toml").read_text("utf-8")
    version = re.search(r'^version = "(.+)"$', project, re.MULTILINE)
    assert version
    assert (told["Name"], told["Version"]) == ("pytest-egress", version[1])
    assert release.wheel.name == f"pytest_egress-{version[1]}-py3-none-any.whl"
    assert told["License-Expression"] == "Apache-2.0"
    assert told["Requires-Python"] == ">=3.10"
    assert told["Description-Content-Type"] == "text/markdown"
    assert str(told.get_payload()).startswith("# pytest-egress\n")
    requires = [it for it in told.get_all("Requires-Dist", []) if "extra ==" not in it]
    assert all(re.search(r">=\d", it) for it in requires), requires
    assert "Framework :: Pytest" in told.get_all("Classifier", [])


@pytest.mark.parametrize(
    "command",
    [
        ["twine", "check", "--strict", "WHEEL", "ARCHIVE"],
        ["validate_pyproject", str(ROOT / "pyproject.toml")],
        ["check_wheel_contents", "WHEEL"],
        # The project names no person and has no page of its own.
        ["pyroma", "--min=10", "--skip-tests=Author,AuthorEmail,Url", "--file", "ARCHIVE"],
    ],
    ids=lambda command: command[0],
)
def test_judges(release: Release, tmp_path: Path, command: list[str]) -> None:
    """What others look for in a release."""
    files = {"WHEEL": str(release.wheel), "ARCHIVE": str(release.archive)}
    arguments = [files.get(word, word) for word in command]
    run(sys.executable, "-m", *arguments, cwd=tmp_path)


def test_wheel_alone(release: Release, tmp_path: Path) -> None:
    """In an environment with nothing else, far from the checkout: the example is green."""
    environment = tmp_path / "environment"
    run(sys.executable, "-m", "venv", environment, cwd=tmp_path)
    programs = environment / "bin"
    run(programs / "pip", "install", "--quiet", release.wheel, cwd=tmp_path)
    run(programs / "pip", "check", cwd=tmp_path)
    place = run(
        programs / "python", "-c", "import pytest_egress as it; print(it.__file__)", cwd=tmp_path
    )
    assert Path(place.strip()).is_relative_to(environment)
    example = tmp_path / "weather"
    ignored = shutil.ignore_patterns("__pycache__", ".*")
    shutil.copytree(ROOT / "examples/weather", example, ignore=ignored)
    told = run(programs / "pytest", cwd=example)
    assert re.search(r"={3,} \d+ passed in [\d.]+s ={3,}", told), told
    assert "egress: local (Envoy " in told
    assert "REACHABLE" in run(programs / "pytest-egress", "doctor", "--only", cwd=tmp_path)

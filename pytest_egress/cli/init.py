"""``pytest-egress init``: a first contract test from the YAML that is there."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from pytest_egress.errors import BackendError, ProbeError

__all__ = ["add_init"]


def add_init(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    init = commands.add_parser(
        "init",
        help="write a first contract test from existing YAML",
        description="Write a test file that asserts what a contract promises, after having probed "
        "it: each declared host reachable, other ports and hosts blocked. Asks nothing, changes no "
        "file, and runs the test that it has written.",
    )
    init.add_argument(
        "files",
        nargs="*",
        metavar="PATH",
        help="file, directory or glob of Istio YAML (default: every directory below this one that "
        "holds a ServiceEntry)",
    )
    init.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="the file to write; it must not exist (default: tests/test_egress.py where there is "
        "a directory tests, else test_egress.py)",
    )
    init.add_argument("--envoy", default="", metavar="PATH", help="the Envoy program to run")
    init.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from pytest_egress.backends.local import LocalBackend
    from pytest_egress.contract import load
    from pytest_egress.first_test.expect import expect
    from pytest_egress.first_test.find import name_files
    from pytest_egress.first_test.write import test_file

    output = Path(options.output or _default_output())
    if os.path.lexists(output):
        raise ProbeError(f"{output} exists: name another file with -o, nothing is overwritten")
    if output.suffix != ".py":
        raise ProbeError(f"{output}: expected the name of a Python file, such as test_egress.py")
    contract = load(options.files or _found())
    if not contract.service_entries:
        raise ProbeError(
            "no ServiceEntry is in what was given: with nothing declared everything is blocked, "
            "and a test of that proves nothing"
        )
    backend = LocalBackend(envoy=options.envoy)
    try:
        expectations = expect(contract, backend)
    finally:
        backend.close()
    if not expectations.holding:
        for candidate, reason in expectations.failing:
            print(f"{candidate.url}: {reason}", file=sys.stderr)
        raise ProbeError("nothing that the contract promises holds, so there is nothing to assert")
    sources = name_files(contract.files, output.parent)
    _write(output, test_file(sources, expectations), options.envoy)
    promised = len(expectations.holding)
    print(
        f"{output}: {promised} {'assertion' if promised == 1 else 'assertions'}, all of them hold"
    )
    for candidate, reason in expectations.failing:
        print(f"not asserted: {candidate.url} from {candidate.namespace}: {reason}")
    for reason in expectations.left_out:
        print(f"not asserted: {reason}")
    print(_next_steps(name_files(contract.files, Path.cwd()), output))
    return 0


def _default_output() -> Path:
    return Path("tests" if Path("tests").is_dir() else "", "test_egress.py")


def _found() -> list[str]:
    """The files below this directory that make a contract; what is left out is told."""
    from pytest_egress.first_test.find import find_files

    found, templates = find_files(Path())
    for template in templates:
        print(f"left out: {template} is a template; render it and name the result", file=sys.stderr)
    if not found:
        raise ProbeError(
            "no file below this directory holds a ServiceEntry: name the Istio YAML, or record a "
            "first contract from tests with pytest --egress-record=FILE"
        )
    return found


def _write(output: Path, text: str, envoy: str) -> None:
    """Write the file and run it; it is taken away again where it does not pass.

    Raises:
        ProbeError: it cannot be written.
        BackendError: it does not pass, so something around it (a conftest.py, an ini file)
            changes what it means.
    """
    made = [parent for parent in output.parents if not parent.exists()]
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with output.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        _take_away(made)
        raise ProbeError(f"{output} cannot be written: {error.strerror or error}") from None
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(output)]
    if envoy:
        command.append(f"--egress-envoy={envoy}")
    done = subprocess.run(  # noqa: S603  pytest, on the file just written
        command, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        output.unlink()
        _take_away(made)
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-30:])
        raise BackendError(
            f"the test does not pass where it was written, so {output} was taken away again: "
            f"`{' '.join(command[2:])}` ended with {done.returncode}",
            tail,
            "see what the conftest.py and the ini file around it change",
        )


def _take_away(made: Sequence[Path]) -> None:
    for directory in made:
        if directory.is_dir() and not any(directory.iterdir()):
            directory.rmdir()


def _next_steps(sources: Sequence[str], output: Path) -> str:
    listed = ", ".join(f'"{source}"' for source in sources)
    return (
        f"run it: pytest {output}\n"
        "for the fixture in other tests, name the contract in pyproject.toml:\n"
        "    [tool.pytest.ini_options]\n"
        f"    egress_contract = [{listed}]"
    )

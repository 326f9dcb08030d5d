"""Labels tell to which process something belongs, and whether that is still there."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys

import pytest

from pytest_egress.backends.ownership import HOST, KEEP, Leftover, Owner, abandoned, labels

PRINT_LABELS = """
import json
from pytest_egress.backends.ownership import labels
print(json.dumps(labels()), flush=True)
input()
"""


def owner_of(found: dict[str, str]) -> Owner:
    """The owner by labels that have one."""
    owner = Owner.of(found)
    assert owner is not None
    return owner


def test_labels_are_good_for_docker_and_kubernetes() -> None:
    """Keys with one prefix; values of at most 63 characters that begin and end well."""
    for key, value in labels(keep=True).items():
        assert re.fullmatch(r"pytest-egress/[a-z]+", key)
        assert re.fullmatch(r"[A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?", value), value
    assert KEEP not in labels()


def test_an_owner_is_alive_until_its_process_ends() -> None:
    """Of a process that has ended without being waited for as well: a number is used again."""
    import json

    with subprocess.Popen(
        [sys.executable, "-c", PRINT_LABELS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin
        assert process.stdout
        owner = owner_of(json.loads(process.stdout.readline()))
        assert owner.pid == process.pid
        assert owner.alive() is True
        assert dataclasses.replace(owner, started="1").alive() is False
        process.stdin.close()
        process.stdout.read()
        process.wait()
        assert owner.alive() is False
    assert dataclasses.replace(owner, host="elsewhere-12345678").alive() is None
    assert str(dataclasses.replace(owner, host="a-b-12345678")) == f"process {owner.pid} of a-b"


@pytest.mark.parametrize("found", [{}, {"other": "1"}, {HOST: "h-1"}, {HOST: "h-1", "pid": "x"}])
def test_what_is_not_ours_has_no_owner(found: dict[str, str]) -> None:
    """Labels of others, and ours without a process."""
    assert Owner.of(found) is None


def test_the_next_run_removes_what_is_surely_abandoned() -> None:
    """Not what is alive, may be alive elsewhere, or is to be kept."""
    mine = owner_of(labels())
    dead = dataclasses.replace(mine, started="1")
    elsewhere = dataclasses.replace(mine, host="elsewhere-12345678")

    def leftover(name: str, owner: Owner | None, *, kept: bool = False) -> Leftover:
        return Leftover("container", name, owner, kept, lambda: None)

    found = [
        leftover("a", mine),
        leftover("b", dead),
        leftover("c", dead, kept=True),
        leftover("d", elsewhere),
        leftover("e", None),
    ]
    assert [it.name for it in abandoned(found)] == ["b", "e"]

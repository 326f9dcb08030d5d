"""Whatever the text: a list of problems inside the file, never anything else."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_egress.contract import MeshConfig, check, loads, parse_mesh, verdict
from pytest_egress.errors import ContractError
from tests.contract.samples import ENTRY, SIDECAR, WORKLOAD

BASES = [ENTRY, SIDECAR, WORKLOAD, f"{ENTRY}---\n{SIDECAR}---\n{WORKLOAD}"]
PIECES = [
    "\t", "\u00a0", "\r", "\r\n", "\u2028", "\u0085", "\0", "\ufeff", "\ud800", "{{ x }}", "${X}",
    "- ", "? ", ": ", ":", "#", "&a ", "*a", "<<: ", "!!binary ", "!x ", "|", ">", "'", '"', "[",
    "]", "{", "}", ",", "---\n", "...\n", "%TAG ! x\n", "~", "null", "NO", "0777", ".inf", "1e9",
    "\U0001f600", "\u00e9", "unix://", "*", "10.0.0.0/8", "kind: List\nitems:\n",
]  # fmt: skip
QUICK = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # the machine that runs the tests may be busy

edits = st.lists(
    st.tuples(
        st.integers(0, 1 << 16), st.integers(0, 12), st.sampled_from(PIECES) | st.text(max_size=4)
    ),
    min_size=1,
    max_size=4,
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-2, 70_000)
    | st.floats()
    | st.sampled_from(["", "*", "x", "DNS", "TCP", "a.b", "unix:///x", "10.0.0.0/8", "é.b", "~/x"])
    | st.text(max_size=5)
)
trees = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["labels", "ports", "address", "number", "x"]), inner)
    ),
    max_leaves=6,
)


def judge(text: str) -> None:
    """The promises that hold for every text."""
    problems = check(text, file="x.yaml")
    body = text.removeprefix("\ufeff")
    lines = body.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for problem in problems:
        place = problem.position
        assert place.file == "x.yaml"
        assert 1 <= place.line <= len(lines)
        assert 1 <= place.column <= len(lines[place.line - 1]) + 2
        assert problem.message
        assert problem.rule
    if verdict(problems) == "refused":
        with pytest.raises(ContractError) as caught:
            loads(text, file="x.yaml")
        assert list(caught.value.problems) == problems
    else:
        contract = loads(text, file="x.yaml")
        assert list(contract.warnings) == problems
        for entry in contract.service_entries:
            assert entry.at("spec", "hosts", 0).line <= len(lines)


@QUICK
@given(st.sampled_from(BASES), edits)
def test_edited_text_never_breaks_the_reader(
    base: str, changes: list[tuple[int, int, str]]
) -> None:
    """Pieces cut out of and put into a valid file, anywhere."""
    text = base
    for at, length, piece in changes:
        start = at % (len(text) + 1)
        text = text[:start] + piece + text[start + length :]
    judge(text)


@QUICK
@given(st.sampled_from([ENTRY, SIDECAR, WORKLOAD]), st.data())
def test_edited_trees_never_break_the_rules(base: str, data: Any) -> None:
    """Any value of a valid object replaced by any other, or taken away."""
    tree = yaml.safe_load(base)
    for _ in range(data.draw(st.integers(1, 3))):
        node: Any = tree
        while True:
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            if not keys:
                break
            key = data.draw(st.sampled_from(keys))
            deeper = isinstance(node[key], dict | list) and data.draw(st.booleans())
            if not deeper:
                if data.draw(st.booleans()) and isinstance(node, dict):
                    del node[key]
                else:
                    node[key] = data.draw(trees)
                break
            node = node[key]
    judge(yaml.safe_dump(tree, allow_unicode=True, sort_keys=False))


@QUICK
@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda data: data.decode("latin-1")))
def test_any_text_is_judged(text: str) -> None:
    """Random characters, for contracts and for mesh files."""
    judge(text)
    mesh: MeshConfig | None = None
    with contextlib.suppress(ContractError):
        mesh = parse_mesh(text)
    assert mesh is None or mesh.root_namespace

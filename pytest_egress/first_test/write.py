"""The text of a first test file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from textwrap import wrap

from pytest_egress.first_test.expect import Candidate, Expectations

__all__ = ["test_file"]

_WIDTH = 96
_NAMES = {"REACHABLE": "declared_hosts_are_reachable", "BLOCKED": "anything_else_is_blocked"}
_ATTRIBUTES = {"REACHABLE": "reachable", "BLOCKED": "blocked"}


def test_file(sources: Sequence[str], expectations: Expectations) -> str:
    """A test module that asserts what holds, and says as comments what does not.

    Args:
        sources: the contract as the marker takes it, relative to the file.
        expectations: what the probes found.
    """
    return "\n".join(_lines(sources, expectations)) + "\n"


test_file.__test__ = False  # type: ignore[attr-defined]  # pytest would take it for a test


def _lines(sources: Sequence[str], expectations: Expectations) -> Iterator[str]:
    yield '"""What pods may reach: the egress contract that is deployed, judged by Envoy."""'
    yield ""
    yield "import pytest"
    yield ""
    yield from _call("pytestmark = pytest.mark.egress_contract", sources)
    namespaces = dict.fromkeys(it.namespace for it in expectations.holding)
    for namespace in namespaces:
        for wanted, name in _NAMES.items():
            held = [
                it
                for it in expectations.holding
                if (it.namespace, it.wanted) == (namespace, wanted)
            ]
            if held:
                suffix = "" if len(namespaces) == 1 else f"_from_{_word(namespace)}"
                yield from _function(held, f"test_{name}{suffix}")
    yield from _remarks(expectations)


def _function(held: Sequence[Candidate], name: str) -> Iterator[str]:
    yield ""
    yield ""
    first = held[0]
    if first.namespace != "default":
        yield f"@pytest.mark.egress_workload({json.dumps(first.namespace)})"
    yield "@pytest.mark.parametrize("
    yield '    "url",'
    yield "    ["
    yield from (f"        {json.dumps(it.url)}," for it in held)
    yield "    ],"
    yield ")"
    yield f"def {name}(egress, url):"
    yield f"    assert egress.probe(url).{_ATTRIBUTES[first.wanted]}"


def _remarks(expectations: Expectations) -> Iterator[str]:
    if expectations.failing:
        yield ""
        yield ""
        yield "# Not as the contract promises, so not asserted above:"
        for candidate, reason in expectations.failing:
            told = f"{candidate.url} from {candidate.namespace}: {' '.join(reason.split())}"
            yield from _comment(told)
    if expectations.left_out:
        yield ""
        yield ""
        yield "# Declared, but not for a probe:"
        for told in expectations.left_out:
            yield from _comment(told)


def _comment(text: str) -> Iterator[str]:
    lines = wrap(text, _WIDTH - 4, break_long_words=False, break_on_hyphens=False)
    for index, line in enumerate(lines):
        yield f"# {'  ' if index else '- '}{line}"


def _call(function: str, arguments: Sequence[str]) -> Iterator[str]:
    texts = [json.dumps(argument, ensure_ascii=False) for argument in arguments]
    line = f"{function}({', '.join(texts)})"
    if len(line) <= _WIDTH:
        yield line
        return
    yield f"{function}("
    yield from (f"    {text}," for text in texts)
    yield ")"


def _word(namespace: str) -> str:
    return re.sub(r"\W", "_", namespace)

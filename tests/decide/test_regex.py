"""Regular expressions as RE2 matches them, in time that no pattern stretches."""

from __future__ import annotations

import importlib.util
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from pytest_egress.contract.virtual_service.regex import regex_flaw
from pytest_egress.decide.regex import full_match
from pytest_egress.errors import ProbeError


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("", "", True),
        ("", "a", False),
        ("a|b|", "", True),
        ("a|bc|d", "bc", True),
        ("(?:ab)*", "ababab", True),
        ("a{2,3}", "aaaa", False),
        ("a{2,}?", "aaaa", True),
        ("a{0}b", "b", True),
        ("x{", "x{", True),
        ("x{a}", "x{a}", True),
        (r"/\Qa.b*\E+", "/a.b**", True),
        (r"\x41\x{e9}\101\.\t", "A\u00e9A.\t", True),
        ("[]a]+", "]a", True),
        ("[^]a]", "]", False),
        ("[a\\-c]", "b", False),
        ("[[:^digit:]x]", "1", False),
        (r"[\d-]+", "1-2", True),
        (r"\D", "\u0663", True),
        (r"\pL\p{Nd}\P{^Lu}", "\u00e9\u0663A", True),
        (r"\p{Any}", "\n", True),
        (".", "\n", False),
        ("(?s).", "\n", True),
        ("[^a]", "\n", True),
        ("(?m)a$\n^b", "a\nb", True),
        ("a$\n^b", "a\nb", False),
        (r"\Aa\z", "a", True),
        (r"a\b-\Bb", "a-b", False),
        (r"a\b-\b", "a-", False),
        (r"a\b-\B", "a-", True),
        ("(?i)stra\u1e9ee", "STRA\u00dfE", True),
        ("(?i)k", "\u212a", True),
        ("(?i)[^k]", "K", False),
        ("(?i:a)a", "AA", False),
        ("(a(?i)b)c", "aBC", False),
        ("(a(?i)b)c", "aBc", True),
        ("(?P<one>a)(?<two>b)", "ab", True),
    ],
)
def test_syntax(pattern: str, text: str, found: bool) -> None:
    """Each part of RE2's syntax, in patterns that istiod accepts."""
    assert regex_flaw(pattern) is None
    assert full_match(pattern, text) is found


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("(a+)+b", "a" * 5000),
        ("(a|a)*b", "a" * 5000),
        ("(a|aa)+[^a]", "a" * 5000),
        ("(.*)*x", "y" * 5000),
        ("(.*,){20}z", "," * 2000),
        ("([^/]*/)*[^/]*!", "/" * 5000),
    ],
)
def test_an_exponential_pattern_ends(pattern: str, text: str) -> None:
    """Tried one way after the other, each of these would outlast the machine."""
    assert not full_match(pattern, text)
    assert full_match(pattern, text + {"]": "!", "x": "x"}.get(pattern[-1], pattern[-1]))


@pytest.mark.parametrize("pattern", ["((a{20}){5}b{20}){10}" * 40, "(a?){1000}a{1000}"])
def test_what_is_too_large_is_said(pattern: str) -> None:
    """Nothing is followed for ever, nor with more than a little memory."""
    assert regex_flaw(pattern) is None
    with pytest.raises(ProbeError, match=r"only Envoy knows \(it is too large\)"):
        full_match(pattern, "a" * 1000)


def test_a_script_is_said() -> None:
    """Python has no list of them."""
    with pytest.raises(ProbeError, match=r"only Envoy knows \(the script Greek\)"):
        full_match(r"\p{Greek}", "\u03b1")


def _patterns(atoms: list[str]) -> SearchStrategy[str]:
    repeats = st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "{0,2}", "{2,}", "*?", "+?"])

    def larger(inner: SearchStrategy[str]) -> SearchStrategy[str]:
        return st.one_of(
            st.tuples(inner, inner).map("".join),
            st.tuples(inner, inner).map("|".join),
            st.tuples(inner, repeats).map(lambda it: f"(?:{it[0]}){it[1]}"),
            inner.map("({})".format),
            inner.map("(?i:{})".format),
        )

    return st.recursive(st.sampled_from(atoms), larger, max_leaves=6)


_ASCII = ["a", "b", "K", ".", r"\d", r"\W", r"\s", "[a-c]", "[^a]", r"[\d-]", "^", r"\b", r"\x41"]
_TEXTS = st.lists(st.text("abckK-.\n 1A", max_size=5), min_size=1, max_size=3)


@settings(
    max_examples=100, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck)
)
@given(pattern=_patterns(_ASCII), texts=_TEXTS)
def test_what_python_knows_too_is_matched_alike(pattern: str, texts: list[str]) -> None:
    """Python's engine agrees, as far as the two languages are one."""
    known = re.compile(pattern, re.ASCII)
    for text in texts:
        assert full_match(pattern, text) == (known.fullmatch(text) is not None), text


_ALL = [
    *_ASCII, "$", r"\A", r"\z", r"\B", "\u00e9", "\u00df", "\u00b5", "s", "[[:alpha:]]", r"\pL",
    "[[:^digit:]x]", "[]a]", r"\p{Lu}", r"\P{^N}", r"\x{e9}", r"\101", r"\Qa.b\E", "\n", "x{",
    "(?i)", "(?s)", "(?m)", "(?-i)", "[k-s]",
]  # fmt: skip


@pytest.mark.skipif(
    importlib.util.find_spec("re2") is None, reason="the tox environment conformance has RE2"
)
@settings(max_examples=20_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    pattern=_patterns(_ALL),
    texts=st.lists(st.text("abckKsS\u00e9\u00c9\u00df\u1e9e\u00b5\u039cx-.\n {1A/", max_size=6)),
)
def test_re2_agrees(pattern: str, texts: list[str]) -> None:
    """Google's own engine, the one in Envoy, says the same of every pattern and text."""
    re2 = importlib.import_module("re2")
    known = re2.compile(pattern)
    for text in texts:
        assert full_match(pattern, text) == (known.fullmatch(text) is not None), text

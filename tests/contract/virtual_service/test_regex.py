"""What Go's parser takes for a regular expression."""

from __future__ import annotations

import pytest

from pytest_egress.contract.virtual_service.regex import regex_flaw


@pytest.mark.parametrize(
    "pattern",
    [
        ".*", "^/api/v[0-9]+/.*$", "(?i)get|post", "(?P<id>[a-z]+)", "(?<id>x)", "(?i-s:a)", "(?)",
        r"\d\D\s\S\w\W\b\B\A\z", r"\x41\x{10FFFF}\012\07\a\f\t\n\r\v\.\-\_", r"\Qa+b\E", r"\Q(",
        r"[\d-z]", "[]a]", "[^]a]", "[a-]", "[[:alpha:][:^digit:]]", r"[\]\-]", "[[:]", "[a[:]b]",
        "a{2}", "a{0,1000}", "a{,2}", "a{02}", "x{", "a??", "(a{10}){100}",
        "a{2}(?i){2}", r"a*\Q\E*", "(a{1000}){0}", "(|a)*", "^*", r"\pL\p{Greek}\P{^Han}",
        r"\p{lowercase letter}", r"\p{any}", "é", "x" * 1024, "(" * 500 + "a" + ")" * 500,
    ],
)  # fmt: skip
def test_accepted(pattern: str) -> None:
    """Some of it is surprising."""
    assert regex_flaw(pattern) is None


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("(?=a)", "lookahead"),
        ("a(?!b)", "negative lookahead"),
        ("(?<=a)b", "lookbehind"),
        ("(?<!a)b", "lookbehind"),
        ("(?>a)", "atomic"),
        ("(?P=n)", "this use of (?P"),
        ("(?P<a b>x)", "a group is named (?P<name>...)"),
        ("(?x)", "opens nothing that RE2 knows"),
        ("(?i-)", "opens nothing that RE2 knows"),
        ("(a", "a parenthesis is not closed"),
        ("a)", "closes nothing"),
        ("[a", "a bracket"),
        ("[]", "a bracket"),
        ("[z-a]", "the wrong way round"),
        (r"[a-\d]", "cannot end a range"),
        ("[[:foo:]]", "is no class"),
        ("*a", "nothing before it to repeat"),
        ("a|*", "nothing before it to repeat"),
        ("(+)", "nothing before it to repeat"),
        ("a**", "follows another repetition"),
        ("a{2}{3}", "follows another repetition"),
        ("a{1001}", "counts go to 1000"),
        ("a{3,2}", "the lower one first"),
        ("(a{100}){11}", "more than 1000 copies"),
        (r"\1", "no backreferences"),
        (r"\C", "no escape of RE2"),
        (r"[\b]", "no escape of RE2"),
        (r"\x4", "no escape of RE2"),
        (r"\x{110000}", "beyond the last character"),
        (r"\p{Old_Italic}", "no category or script that Go knows"),
        (r"\p{}", "no category or script that Go knows"),
        (r"\p", "needs a name"),
        ("a\\", "escapes nothing"),
        ("x" * 1025, "1025 bytes"),
        ("é" * 513, "1026 bytes"),
    ],
)
def test_refused(pattern: str, words: str) -> None:
    """With the reason."""
    flaw = regex_flaw(pattern)
    assert flaw is not None
    assert words in flaw

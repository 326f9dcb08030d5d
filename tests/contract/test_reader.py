"""Reading YAML: what is accepted, what scalars mean, where values stand."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
import yaml

from pytest_egress.contract import nodes, reader
from pytest_egress.contract.nodes import Flaw
from pytest_egress.contract.position import Position, Problem
from pytest_egress.contract.reader import MAX_BYTES, Document, decode, read_documents
from pytest_egress.contract.scalars import ScalarError, resolve_plain, resolve_tagged
from pytest_egress.contract.source import Source


def read(text: str) -> tuple[list[Document], list[Problem]]:
    """Documents and problems of a text."""
    problems: list[Problem] = []
    return list(read_documents(Source("x.yaml", text), problems)), problems


def values(text: str) -> list[object]:
    """The plain values of a text without problems."""
    documents, problems = read(text)
    assert problems == []
    return [document.value for document in documents]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("NO", False),
        ("on", True),
        ("y", True),
        ("Off", False),
        ("true", True),
        ("no way", "no way"),
        ("~", None),
        ("null", None),
        ("nUll", "nUll"),
        ("0777", 511),
        ("0o777", 511),
        ("08", 8.0),
        ("0x1F", 31),
        ("-0b11", -3),
        ("+5", 5),
        ("1_000", 1000),
        ("22:22", "22:22"),
        ("2024-01-01", "2024-01-01"),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("1e999", "1e999"),
        ("18446744073709551615", 18446744073709551615),
        ("18446744073709551616", 18446744073709551616.0),
        ("-", "-"),
        (".", "."),
        ("1.2.3.4", "1.2.3.4"),
        ("0xZZ", "0xZZ"),
    ],
)
def test_plain_scalars_mean_what_kubernetes_reads(text: str, value: object) -> None:
    """The reader of Kubernetes and istiod (go-yaml v2) decides, not YAML 1.2."""
    resolved = resolve_plain(text)
    assert resolved == value
    assert type(resolved) is type(value)


@pytest.mark.parametrize("text", [".inf", "-.INF", ".nan"])
def test_numbers_that_json_lacks_are_refused(text: str) -> None:
    """What cannot be sent as JSON cannot be applied."""
    with pytest.raises(ScalarError):
        resolve_plain(text)


@pytest.mark.parametrize(
    ("tag", "text", "value"),
    [
        ("str", "5", "5"),
        ("int", "5", 5),
        ("float", "5", 5.0),
        ("bool", "yes", True),
        ("null", "~", None),
        ("timestamp", "2024-01-01", "2024-01-01"),
        ("binary", "aG9z\ndA==", "host"),
    ],
)
def test_standard_tags_are_followed(tag: str, text: str, value: object) -> None:
    """An explicit core tag decides the type."""
    assert resolve_tagged(f"tag:yaml.org,2002:{tag}", text) == value


@pytest.mark.parametrize(
    ("tag", "text"), [("int", "x"), ("bool", "1"), ("binary", "%%%"), ("binary", "ü")]
)
def test_standard_tags_refuse_other_values(tag: str, text: str) -> None:
    """A tag that the value does not fit is an error."""
    with pytest.raises(ScalarError):
        resolve_tagged(f"tag:yaml.org,2002:{tag}", text)


@pytest.mark.parametrize(
    "text",
    ["", "\n", "# only a comment\n", "---\n", "---\n---\n", "--- # nothing\n...\n", "null\n", "{}"],
)
def test_a_text_may_say_nothing(text: str) -> None:
    """Empty files and documents are no problem."""
    documents, problems = read(text)
    assert problems == []
    assert all(document.is_empty() for document in documents)


def test_documents_are_told_apart() -> None:
    """A leading separator, an empty document and CRLF line ends change nothing."""
    assert values("---\r\na: 1\r\n---\r\n---\r\nb: [x,\r\n  z]\r\n") == [
        {"a": 1},
        None,
        {"b": ["x", "z"]},
    ]


def test_json_is_read() -> None:
    """What kubectl prints as JSON is YAML too, indented with tabs or not."""
    assert values('{\n\t"a": {"b": [1, true, null, "\\u00e9"]}\n}\n') == [
        {"a": {"b": [1, True, None, "\u00e9"]}}
    ]


def test_aliases_and_merges_are_followed_in_file_order() -> None:
    """go-yaml v2 lets a later merge win over an earlier key, and the first of a merged list."""
    text = "p: &p {a: 1, b: 1}\nq: &q {b: 2, c: 2}\nr: {c: 9, <<: [*p, *q], a: 3}\ns: *p\n"
    assert values(text)[0] == {
        "p": {"a": 1, "b": 1},
        "q": {"b": 2, "c": 2},
        "r": {"c": 2, "a": 3, "b": 1},
        "s": {"a": 1, "b": 1},
    }


def test_keys_become_texts() -> None:
    """JSON has text keys only."""
    text = "1: a\ntrue: b\n1.5: c\n'': d\n"
    assert values(text) == [{"1": "a", "true": "b", "1.5": "c", "": "d"}]


def test_positions_count_characters_and_lines_from_one() -> None:
    """Wide characters count as one, CRLF as one line end."""
    document = read("\u00e9: [\U0001f600, b]\r\nk:\r\n  - {m: 1}\r\n")[0][0]
    assert document.position(("\u00e9", 1)) == Position("x.yaml", 1, 8)
    assert document.position(("k", 0, "m")) == Position("x.yaml", 3, 9)
    assert document.position(("k", 0, "m"), key=True) == Position("x.yaml", 3, 6)


def test_position_of_what_is_absent_is_its_nearest_parent() -> None:
    """A missing field is shown at its parent, an empty one at its key."""
    document = read("a:\n  b:\n    c: 1\n  d:\n")[0][0]
    assert document.position(("a", "b", "x", "y")) == Position("x.yaml", 2, 3)
    assert document.position(("a", "d")) == Position("x.yaml", 4, 3)
    assert document.position(("nothing",)) == Position("x.yaml", 1, 1)
    assert document.position(("a", 0)) == Position("x.yaml", 1, 1)


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\n---\nb:\n  c: 2\n",
        "# c\n---\na: 1\n...\n---\nb:\n  c: 2\n",
        "[a]   # c\n---\nb:\n  c: 2\n",
        "%TAG !y! tag:yaml.org,2002:\n---\na: 1\n---\nb:\n  c: !!int 2\n",
        "a: |\n  x\n  y\n\n---\nb: &z\n  c: 2\n",
        "--- {a: 1}\n--- # x\nb:\n  c: 2",
    ],
)
def test_positions_are_the_same_after_the_tree_was_let_go(text: str) -> None:
    """A position asked for later is found by composing the document again."""
    problems: list[Problem] = []
    places = {}
    documents = []
    for document in read_documents(Source("x.yaml", text), problems):
        documents.append(document)
        places[id(document)] = [document.position(p) for p in ((), ("b",), ("b", "c"))]
        document.release()
    assert problems == []
    assert documents
    for document in reversed(documents):
        again = [document.position(p) for p in ((), ("b",), ("b", "c"))]
        assert again == places[id(document)]


def test_merged_values_stand_where_they_are_written() -> None:
    """The position of a merged value is that of its source."""
    document = read("p: &p\n  a: 1\nq:\n  <<: *p\n  b: 2\n")[0][0]
    assert document.position(("q", "a")) == Position("x.yaml", 2, 6)


@pytest.mark.parametrize(
    ("data", "place", "rule"),
    [
        (b"a: b\nc: \xff\n", (2, 4), "yaml/encoding"),
        ("a: \u00e9\nb: x".encode("latin-1"), (1, 4), "yaml/encoding"),
        ("a: b".encode("utf-16"), (1, 1), "yaml/encoding"),
        (b"\x7fELF\x00\x80\xff", (1, 1), "yaml/binary"),
        (b"x" * (MAX_BYTES + 1), (1, 1), "file/too-large"),
    ],
)
def test_bytes_that_are_no_text(data: bytes, place: tuple[int, int], rule: str) -> None:
    """One problem, at the first byte that cannot be read."""
    problem = decode(data, "x.yaml")
    assert isinstance(problem, Problem)
    assert (problem.position.line, problem.position.column) == place
    assert problem.rule == rule


def test_a_byte_order_mark_is_no_character() -> None:
    """Editors on Windows write one; positions do not count it."""
    text = decode("\ufeffa: b".encode(), "x.yaml")
    assert text == "a: b"


def test_the_pure_python_composer_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without libyaml the same documents, positions and errors come out."""
    texts = ["a: {b: [1, '2', x]}\n---\nc: |\n  d\n", "- \u00e9\n- !!str 5\n", "a: [1\n", "[" * 500]

    def seen(text: str) -> object:
        documents, problems = read(text)
        tree = [(d.value, d.position(("a", "b", 2)), d.position(("c",))) for d in documents]
        return tree, [(p.rule, p.position) for p in problems]

    with_c = [seen(text) for text in texts]
    nodes._loader.cache_clear()
    monkeypatch.setattr(yaml, "__with_libyaml__", False)
    try:
        assert nodes._loader().__name__ == "_PyLoader"
        assert [seen(text) for text in texts] == with_c
    finally:
        monkeypatch.undo()
        nodes._loader.cache_clear()


def test_a_bomb_is_refused_fast_and_small() -> None:
    """A 2 kB text that stands for 10 GB costs under a second and under 100 MB."""
    bomb = "a: &a [" + ", ".join(["x"] * 10) + "]\n"
    for i in range(9):
        name, before = chr(98 + i), chr(97 + i)
        bomb += f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
    program = (
        "import resource, sys\n"
        "from pytest_egress.contract import check\n"
        "resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20))\n"
        "found = check(sys.stdin.read())\n"
        "print([p.rule for p in found])\n"
    )
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", program], input=bomb, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "['yaml/alias-expansion']"
    assert time.perf_counter() - start < 5


def test_a_shared_alias_is_no_bomb() -> None:
    """Two hundred uses of one small anchor are ordinary."""
    text = "x: &x {a: 1}\nlist:\n" + "- *x\n" * 200
    assert len(values(text)[0]["list"]) == 200  # type: ignore[index]


def test_two_aliases_to_one_node_are_no_cycle() -> None:
    """A diamond of aliases ends."""
    assert values("a: &a [1]\nb: &b [*a, *a]\nc: [*b, *a, *b]\n")[0]["c"] == [  # type: ignore[index]
        [[1], [1]],
        [1],
        [[1], [1]],
    ]


def test_flaws_carry_the_index_of_a_character() -> None:
    """The expansion check names the anchored node."""
    root = next(nodes.compose_all("a: &a [*a]"))
    assert nodes.expansion(root, 10) == Flaw(
        3, "yaml/alias-recursive", "this anchor's value contains itself: write the value out"
    )


def test_a_huge_text_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the limit no parser sees the text."""
    monkeypatch.setattr(reader, "MAX_BYTES", 10)
    documents, problems = read("a: 12345678901")
    assert documents == []
    assert [p.rule for p in problems] == ["file/too-large"]


def test_documents_before_a_syntax_error_are_kept() -> None:
    """The reading ends where the text stops being YAML."""
    documents, problems = read("a: 1\n---\nb: [\n")
    assert [d.value for d in documents] == [{"a": 1}]
    assert [p.rule for p in problems] == ["yaml/syntax"]

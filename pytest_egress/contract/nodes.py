"""YAML node trees: composed in C, turned into plain values, asked for positions."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, lru_cache
from typing import Any, NamedTuple

from pytest_egress.contract.scalars import (
    STANDARD_TAGS,
    ScalarError,
    resolve_plain,
    resolve_tagged,
)

__all__ = ["Flaw", "compose_all", "depth_exceeds", "expansion", "find", "plain"]

Node = Any  # yaml.Node, which is imported late

_PLAIN, _TEXT = "?", ""
_MERGE_TAG = "tag:yaml.org,2002:merge"


class Flaw(NamedTuple):
    """Something in a node tree that Kubernetes cannot read; ``at`` is the index of a character."""

    at: int
    rule: str
    message: str


class _Resolver:
    """Leaves every scalar as written: its meaning is settled in ``plain``."""

    def resolve(self, kind: Any, _value: Any, implicit: Any) -> str:
        """Tag of an untagged node: ``?`` for a plain scalar, nothing for all others."""
        return _PLAIN if kind.id == "scalar" and implicit[0] else _TEXT

    def descend_resolver(self, _node: Any, _index: Any) -> None:
        """No path resolvers here."""

    def ascend_resolver(self) -> None:
        """No path resolvers here."""


@cache
def _loader() -> type[Any]:
    """The C composer, or the pure Python one where PyYAML was built without libyaml."""
    import yaml

    if yaml.__with_libyaml__:
        import yaml.cyaml

        return type("_CLoader", (_Resolver, yaml.cyaml.CParser), {})  # type: ignore[attr-defined]
    from yaml.composer import Composer
    from yaml.parser import Parser
    from yaml.reader import Reader
    from yaml.scanner import Scanner

    class _PyLoader(_Resolver, Reader, Scanner, Parser, Composer):  # type: ignore[misc,unused-ignore]
        def __init__(self, text: str) -> None:
            Reader.__init__(self, text)
            Scanner.__init__(self)
            Parser.__init__(self)
            Composer.__init__(self)

    return _PyLoader


def compose_all(text: str) -> Iterator[Node]:
    """The root node of each document, one at a time.

    Raises:
        yaml.YAMLError: where the text stops being YAML.
    """
    loader = _loader()(text)
    while loader.check_node():
        yield loader.get_node()


def depth_exceeds(text: str, limit: int) -> int | None:
    """The index of the first collection nested deeper than ``limit``; no recursion is used.

    A text that stops being YAML before that is not too deep: composing it reports the error.
    """
    import yaml

    try:
        return _first_deeper(_loader()(text), limit)
    except yaml.YAMLError as error:
        if "nesting depth" not in str(error):
            return None
    # libyaml has a limit of its own, which its scanner meets ahead of the first event.
    try:
        return _first_deeper(yaml.SafeLoader(text), limit)
    except yaml.YAMLError:
        return None


def _first_deeper(loader: Any, limit: int) -> int | None:
    import yaml

    depth = 0
    while loader.check_event():
        event: Any = loader.get_event()
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > limit:
                mark: Any = event.start_mark
                return int(mark.index)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    return None


def expansion(root: Node, limit: int) -> Flaw | None:
    """A flaw when aliases refer to themselves, or make more than ``limit`` nodes of this tree.

    Each anchored node is counted once and its size reused, so a small bomb stays cheap.
    """
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()
    todo: list[tuple[Node, bool]] = [(root, False)]
    while todo:
        node, done = todo.pop()
        key = id(node)
        if done:
            size = 1 + sum(sizes[id(child)] for child in _children(node))
            if size > limit:
                return Flaw(
                    node.start_mark.index,
                    "yaml/alias-expansion",
                    f"aliases make more than {limit} values of this: write the values out",
                )
            sizes[key] = size
            open_nodes.discard(key)
        elif key in open_nodes:
            message = "this anchor's value contains itself: write the value out"
            return Flaw(node.start_mark.index, "yaml/alias-recursive", message)
        elif key not in sizes:
            open_nodes.add(key)
            todo.append((node, True))
            # a set, because the same alias twice under one node is no cycle
            todo.extend((child, False) for child in {id(c): c for c in _children(node)}.values())
    return None


def plain(node: Node, flaws: list[Flaw]) -> Any:
    """The tree as the dicts, lists and scalars that JSON would carry; flaws are appended."""
    kind = node.id
    tag = node.tag
    if kind == "scalar":
        text = node.value
        if tag == _TEXT:
            return text
        try:
            if tag == _PLAIN:
                return resolve_plain(text)
            if tag in STANDARD_TAGS:
                return resolve_tagged(tag, text)
        except ScalarError as error:
            flaws.append(Flaw(node.start_mark.index, "yaml/scalar", str(error)))
            return None
    if tag != _TEXT and tag not in STANDARD_TAGS:
        shown = tag.replace("tag:yaml.org,2002:", "!!")
        message = f'tag "{shown}" is not allowed: a contract is plain data, write the value itself'
        flaws.append(Flaw(node.start_mark.index, "yaml/tag", message))
        return None
    if kind == "sequence":
        return [plain(child, flaws) for child in node.value]
    return _mapping(node, flaws)


def find(node: Node, step: str | int) -> tuple[Node, Node] | None:
    """The (key, value) nodes at one step below ``node``; for an item of a list, twice the item."""
    if isinstance(step, int):
        if node.id == "sequence" and 0 <= step < len(node.value):
            return node.value[step], node.value[step]
        return None
    if node.id != "mapping":
        return None
    for key, value in reversed(node.value):
        if _is_merge(key):
            sources = value.value if value.id == "sequence" else [value]
            for source in sources:
                inner = find(source, step)
                if inner is not None:
                    return inner
        elif key.id == "scalar" and _key_text(key, []) == step:
            return key, value
    return None


def _mapping(node: Node, flaws: list[Flaw]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    written: set[str] = set()
    for key, value in node.value:
        name = _usual_key(key.value) if key.tag == _PLAIN else None
        if name is None:
            if _is_merge(key):
                _merge(value, values, flaws)
                continue
            name = _key_text(key, flaws)
            if name is None:
                plain(value, flaws)
                continue
        if name in written:
            message = f'key "{name}" is given twice in one mapping: keep one of the two'
            flaws.append(Flaw(key.start_mark.index, "yaml/duplicate-key", message))
            continue
        written.add(name)
        values[name] = plain(value, flaws)
    return values


def _merge(value: Node, values: dict[str, Any], flaws: list[Flaw]) -> None:
    """``<<``, as go-yaml v2 does it: in file order, earlier sources of a list win."""
    sources = list(reversed(value.value)) if value.id == "sequence" else [value]
    for source in sources:
        if source.id != "mapping":
            message = '"<<" merges a mapping or a list of mappings'
            flaws.append(Flaw(source.start_mark.index, "yaml/merge", message))
        else:
            values.update(_mapping(source, flaws))


@lru_cache(maxsize=1024)
def _usual_key(text: str) -> str | None:
    """A plain key that is simply a text: the same few hundred words in every contract."""
    return text if text[:1].isalpha() and resolve_plain(text) is text else None


def _is_merge(key: Node) -> bool:
    return bool(key.id == "scalar" and key.value == "<<" and key.tag in {_PLAIN, _MERGE_TAG})


def _key_text(key: Node, flaws: list[Flaw]) -> str | None:
    """A key as JSON spells it; None (and a flaw) for keys that JSON does not have."""
    value = plain(key, flaws) if key.id == "scalar" else None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    if value is None:
        message = "a key must be a text: quote it, or check the indentation"
        flaws.append(Flaw(key.start_mark.index, "yaml/key", message))
        return None
    return str(value)


def _children(node: Node) -> Iterator[Node]:
    if node.id == "sequence":
        yield from node.value
    elif node.id == "mapping":
        for key, value in node.value:
            yield key
            yield value

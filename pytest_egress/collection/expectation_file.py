"""Expectation files (``*.egress.yaml``): what one workload must reach, and what it must not.

Each document without a ``kind`` is one set of expectations; others are Istio's resources.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from typing import Any

from pytest_egress import expectations
from pytest_egress.contract.files import read_text
from pytest_egress.contract.position import Position, Problem
from pytest_egress.contract.reader import Document, read_documents
from pytest_egress.contract.report import Path, Report
from pytest_egress.contract.schema import (
    WRONG,
    Any_,
    Bool,
    Int,
    List,
    Map,
    Number,
    Obj,
    Shape,
    Text,
    check,
)
from pytest_egress.contract.source import Source
from pytest_egress.errors import ContractError, ProbeError
from pytest_egress.expectations import Expectation
from pytest_egress.probe.options import FAMILIES, HTTP_VERSIONS

__all__ = ["FIELDS", "OPTIONS", "ExpectationSet", "read_expectations"]

_POLICIES = ("REGISTRY_ONLY", "ALLOW_ANY")
_DAY = 86_400
#: The options of a probe that a file can give.
OPTIONS: Mapping[str, Shape] = {
    "method": Text(),
    "headers": Map(Text()),
    "body": Text(),
    "http_version": Text(choices=HTTP_VERSIONS),
    "host_header": Text(),
    "sni": Text(),
    "verify_name": Text(),
    "address": Text(),
    "family": Text(choices=FAMILIES),
    "ca_file": Text(),
    "verify": Bool(),
    "alpn": List(Text()),
    "client_cert": Text(),
    "client_key": Text(),
    "grpc_service": Text(),
    "payload": Text(),
    "read_first": Bool(),
    "max_body": Int(),
    "quiet": Number(0, _DAY),
    "connect_timeout": Number(0, _DAY),
    "timeout": Number(0, _DAY),
}
_FILES = ("ca_file", "client_cert", "client_key")
_REACHABLE = Obj({"url": Text(), "upstream": Any_(), **OPTIONS}, ("url",))
_BLOCKED = Obj({"url": Text(), **OPTIONS}, ("url",))
_RESOLVES = Obj({"name": Text(), "to": Any_()}, ("name",))
_FROM = Obj({"namespace": Text(), "labels": Map(Text())}, ("namespace",))
_KINDS = {"reachable": _REACHABLE, "blocked": _BLOCKED, "resolves": _RESOLVES}
#: The fields of a document.
FIELDS: Mapping[str, Shape] = {
    "from": _FROM,
    "contract": Any_(),
    "policy": Text(choices=_POLICIES),
    "dns_proxy": Bool(),
    "reachable": List(Any_(), least=1),
    "blocked": List(Any_(), least=1),
    "resolves": List(Any_(), least=1),
}
_TOP = Obj(FIELDS)


@dataclass(frozen=True, slots=True)
class ExpectationSet:
    """One document: expectations, and in which mesh they hold.

    Attributes:
        expectations: in the order of the file, each with its place.
        namespace: of the workload that asks; empty: the settings say who asks.
        labels: the labels of that workload.
        contract: files, directories and globs, relative to the file; empty: that of the run.
        policy: the mesh's outbound traffic policy; empty: as the settings say.
        dns_proxy: whether Istio's agent resolves names; None: as the settings say.
        position: where the document begins.
    """

    expectations: tuple[Expectation, ...]
    namespace: str
    labels: Mapping[str, str]
    contract: tuple[str, ...]
    policy: str
    dns_proxy: bool | None
    position: Position


def read_expectations(file: str) -> list[ExpectationSet]:
    """The sets of a file, in its order.

    Raises:
        ContractError: with every problem of the file.
    """
    text = read_text(file)
    if isinstance(text, Problem):
        raise ContractError([text])
    problems: list[Problem] = []
    found: list[ExpectationSet] = []
    for document in read_documents(Source(file, text), problems):
        if isinstance(document.value, dict) and "kind" in document.value:
            continue
        if not document.is_empty():
            report = Report(document)
            made = _Reader(report, FilePath(file).parent).read(document)
            problems.extend(report.problems)
            if made is not None:
                found.append(made)
    if any(problem.severity == "error" for problem in problems):
        raise ContractError(sorted(problems, key=lambda problem: problem.position))
    return found


class _Reader:
    """Reads one document; what is wrong goes to the report."""

    def __init__(self, report: Report, directory: FilePath) -> None:
        self._report = report
        self._directory = directory

    def read(self, document: Document) -> ExpectationSet | None:
        value = check(document.value, _TOP, (), self._report)
        if value is WRONG:
            return None
        made: list[Expectation] = []
        for kind in document.value:
            if kind in _KINDS:
                for index, item in enumerate(value.get(kind, ())):
                    made.extend(self._expectation(kind, item, (kind, index)))
        if not any(kind in document.value for kind in _KINDS) and not self._report.problems:
            kinds = " or ".join(_KINDS)
            self._error("empty", f"nothing is expected here: give {kinds}", ())
        asks = value.get("from", {})
        return ExpectationSet(
            tuple(made),
            asks.get("namespace", ""),
            asks.get("labels", {}),
            self._texts(value.get("contract"), ("contract",)),
            value.get("policy", ""),
            value.get("dns_proxy"),
            self._report.locate(()),
        )

    def _expectation(self, kind: str, item: Any, path: Path) -> Iterator[Expectation]:
        name = "name" if kind == "resolves" else "url"
        if isinstance(item, str):
            item = {name: item}
            place = path
        else:
            item = check(item, _KINDS[kind], path, self._report)
            if item is WRONG or name not in item:
                return
            place = (*path, name)
        target = item.pop(name)
        at = self._report.locate(path)
        upstream = self._texts(item.pop("upstream", None), (*path, "upstream")) or None
        if kind == "resolves":
            addresses = self._texts(item.pop("to", None), (*path, "to")) or None
            found = self._made(place, kind, target, to=addresses)
        else:
            options = self._options(item, path)
            found = self._made(place, kind, target, **options)
        yield from (replace(it, position=at, upstream=upstream) for it in found)

    def _made(self, path: Path, kind: str, target: str, **options: Any) -> Iterable[Expectation]:
        build: Any = getattr(expectations, kind)
        try:
            made: tuple[Expectation, ...] = build(target, **options)
        except (ProbeError, ValueError) as error:
            self._error("target", str(error), path)
            return ()
        return made

    def _options(self, item: dict[str, Any], path: Path) -> dict[str, Any]:
        """The options that are right; each wrong one is told at its own place."""
        options: dict[str, Any] = {}
        for name, value in item.items():
            given = str(self._directory / value) if name in _FILES else value
            if name == "alpn":
                given = tuple(it for it in value if it is not WRONG)
            alone = {name: given}
            if name == "client_key" and "client_cert" in item:
                alone["client_cert"] = item["client_cert"]
            try:
                expectations.blocked("tcp://any.invalid:1", **alone)
            except ProbeError as error:
                self._error("option", str(error), (*path, name))
                continue
            options[name] = given
        return options

    def _texts(self, value: Any, path: Path) -> tuple[str, ...]:
        """A text, or several."""
        if value is None:
            return ()
        if isinstance(value, str):
            return (value,)
        texts = check(value, List(Text(), least=1), path, self._report)
        return () if texts is WRONG else tuple(it for it in texts if it is not WRONG)

    def _error(self, rule: str, message: str, path: Path) -> None:
        self._report.error(f"expectations/{rule}", re.sub(r"\s+", " ", message), path)

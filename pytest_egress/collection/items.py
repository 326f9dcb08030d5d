"""pytest's nodes for contract files: one item for each check of what they declare."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

import pytest

from pytest_egress.collection.asked import SUFFIXES, asked
from pytest_egress.collection.checks import Check, plan
from pytest_egress.collection.expectation_file import ExpectationSet, read_expectations
from pytest_egress.contract.contract import Contract
from pytest_egress.contract.position import Position, Problem
from pytest_egress.contract.resources import Workload
from pytest_egress.egress import Egress
from pytest_egress.errors import ContractError
from pytest_egress.expectations import Expectation
from pytest_egress.fixtures import EXPECTATIONS, IN_TURN
from pytest_egress.loading import loader, shown
from pytest_egress.settings import lookup
from pytest_egress.stash import BACKEND, CONTRACT

__all__ = ["ContractFile", "ExpectationItem"]

_COLLECTED: pytest.StashKey[Collected] = pytest.StashKey()


class Collected:
    """The contract of all collected files, and its checks by file.

    Attributes:
        contract: without the files that cannot be used.
        broken: what is wrong with the others, by file.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.broken: dict[str, list[Problem]] = {}
        self.contract = self._read(config)
        self._config = config

    @cached_property
    def workload(self) -> Workload | None:
        """Who asks, where the settings say so."""
        if lookup(self._config, "workload")[1] == "default":
            return None
        return loader(self._config).workload(None, self.contract.mesh)

    @cached_property
    def checks(self) -> dict[str, list[Check]]:
        """The checks of the contract, by file."""
        found: dict[str, list[Check]] = {}
        contracts = loader(self._config)
        captured = contracts.workload(None, self.contract.mesh).dns_capture
        contract = contracts.with_policy(self.contract, None)
        for it in plan(contract, self.workload, dns_capture=captured):
            found.setdefault(os.path.realpath(it.position.file), []).append(it)
        return found

    def checks_of(self, path: Path) -> list[Check]:
        """The checks of a file.

        Raises:
            ContractError: it cannot be used.
        """
        file = os.path.realpath(path)
        if file in self.broken:
            raise ContractError(self.broken[file])
        return self.checks.get(file, [])

    def _read(self, config: pytest.Config) -> Contract:
        """The contract; files that cannot be used are left out and told at their place."""
        files = list(asked(config).contract_files())
        contract = None
        while contract is None:
            contract = self._try(config, files)
        return contract

    def _try(self, config: pytest.Config, files: list[Path]) -> Contract | None:
        """The contract of ``files``; None: those that cannot be used have been taken out."""
        try:
            return loader(config).for_collected(files)
        except ContractError as error:
            at_fault = {os.path.realpath(it.position.file) for it in error.problems
                        if it.severity == "error"}  # fmt: skip
            kept = [it for it in files if os.path.realpath(it) not in at_fault]
            if len(kept) == len(files):
                raise  # it is in the contract of the settings
            for it in error.problems:
                file = os.path.realpath(it.position.file)
                if file in at_fault:
                    self.broken.setdefault(file, []).append(it)
            files[:] = kept
            return None


def _collected(config: pytest.Config) -> Collected:
    if _COLLECTED not in config.stash:
        config.stash[_COLLECTED] = Collected(config)
    return config.stash[_COLLECTED]


class ContractFile(pytest.File):
    """A YAML file: an item for each check of what it declares, and for what it expects."""

    def collect(self) -> Iterable[pytest.Item]:
        """The checks, in the order of the file, then the expectations.

        Raises:
            CollectError: the file, or the contract that it is a part of, cannot be used.
        """
        backends = lookup(self.config, "backend")[0]
        try:
            made = _collected(self.config)
            for item in self._items(made):
                yield from item.on_each(backends) if len(backends) > 1 else (item,)
        except ContractError as error:
            raise self.CollectError("\n".join(map(str, error.problems))) from None
        except pytest.UsageError as error:
            raise self.CollectError(str(error)) from None

    def _items(self, made: Collected) -> Iterator[ExpectationItem]:
        yield from self._checks(made, made.checks_of(self.path))
        if self.name.endswith(SUFFIXES):
            yield from self._expectations(made)

    def _checks(self, made: Collected, checks: list[Check]) -> Iterator[ExpectationItem]:
        names = Counter(it.name for it in checks)
        for it in checks:
            name = it.name
            if names[name] > 1:
                metadata = it.entry.metadata
                name = f"{name[:-1]}-{metadata.namespace}.{metadata.name}]"
            marks = [] if made.workload is not None else [_asked_by(it.workload)]
            item = ExpectationItem.make(self, name, it.expectation, *marks)
            item.stash[CONTRACT] = made.contract
            yield item

    def _expectations(self, made: Collected) -> Iterator[ExpectationItem]:
        sets = read_expectations(shown(self.path))
        names = Counter(_name(it) for group in sets for it in group.expectations)
        for group in sets:
            marks = list(_marks(group))
            if not group.contract and not made.contract.service_entries:
                place = group.position
                raise pytest.UsageError(
                    f"{place}: there is no contract: name it with contract: [PATH] here, with "
                    "egress_contract in the ini file, or on the command line beside this file"
                )
            for it in group.expectations:
                name = _name(it)
                if names[name] > 1:
                    labels = ",".join(f"{key}={value}" for key, value in group.labels.items())
                    name = f"{name[:-1]}-{group.namespace or 'default'}/{labels}]"
                item = ExpectationItem.make(self, name, it, *marks)
                if group.contract:
                    loader(self.config).for_item(item)  # a mistake is one of this file
                else:
                    item.stash[CONTRACT] = made.contract
                yield item


class ExpectationItem(pytest.Function):
    """One expectation, checked from a test pod that lives under the contract.

    It has the marker that a test with its expectation would have, and is checked as such a test is.
    """

    position: Position

    @classmethod
    def make(
        cls, parent: pytest.File, name: str, expectation: Expectation, *marks: pytest.MarkDecorator
    ) -> ExpectationItem:
        """An item of ``parent``, with further marks that say who asks and where."""
        assert expectation.position is not None
        item = cls._named(parent, name)
        item.position = expectation.position
        item.stash[EXPECTATIONS] = [expectation]
        for mark in (*marks, _mark(expectation)):
            item.add_marker(mark)
        return item

    @classmethod
    def _named(cls, parent: pytest.Collector, name: str) -> ExpectationItem:
        item: ExpectationItem = cls.from_parent(parent, name=name, callobj=_under_contract)
        if hasattr(item, "_id"):
            # pytest 9.2 compares ids part by part, and reads those of earlier runs from text.
            item._id = type(item._id).parse(str(item._id))
        return item

    def on_each(self, backends: Iterable[str]) -> Iterator[ExpectationItem]:
        """The same item on each backend, which stands first among its parameters."""
        assert self.parent is not None
        name, bracket, rest = self.name.partition("[")
        for backend in backends:
            item = self._named(self.parent, f"{name}[{backend}{'-' if bracket else ']'}{rest}")
            item.position = self.position
            item.stash[BACKEND] = backend
            item.stash[EXPECTATIONS] = self.stash[EXPECTATIONS]
            if CONTRACT in self.stash:
                item.stash[CONTRACT] = self.stash[CONTRACT]
            for mark in self.own_markers:
                item.add_marker(pytest.MarkDecorator(mark, _ispytest=True))
            yield item

    def reportinfo(self) -> tuple[Path, int, str]:
        """The line that the expectation is about."""
        return self.path, self.position.line - 1, f"{self.name} (line {self.position.line})"


def group(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let the items of one workload follow each other: each workload has a proxy of its own.

    Other items stay where they are. Where there are none, few proxies are needed at a time.
    """
    others = [it for it in items if not isinstance(it, ExpectationItem)]
    config.stash[IN_TURN] = not any("egress" in getattr(it, "fixturenames", ()) for it in others)
    places = [i for i, item in enumerate(items) if isinstance(item, ExpectationItem)]
    groups: dict[object, list[pytest.Item]] = {}
    for place in places:
        groups.setdefault(_asker(items[place]), []).append(items[place])
    ordered = (item for members in groups.values() for item in members)
    for place, item in zip(places, ordered, strict=True):
        items[place] = item


def _asker(item: pytest.Item) -> object:
    mark = item.get_closest_marker("egress_workload")
    return None if mark is None else (mark.args, *sorted(mark.kwargs["labels"].items()))


def _under_contract(egress: Egress) -> None:
    """Ask for a pod; what is expected of it has been checked when this is called."""


def _mark(expectation: Expectation) -> pytest.MarkDecorator:
    if expectation.kind == "resolves":
        return pytest.mark.egress_resolves(expectation.target, to=expectation.addresses)
    if expectation.kind == "blocked":
        return pytest.mark.egress_blocked(expectation.target, **expectation.options)
    return pytest.mark.egress_reachable(expectation.target, **expectation.options)


def _asked_by(workload: Workload) -> pytest.MarkDecorator:
    labels = dict(workload.labels)
    return pytest.mark.egress_workload(workload.namespace, labels=labels)


def _marks(group: ExpectationSet) -> Iterator[pytest.MarkDecorator]:
    """What a test would have for a set of expectations."""
    if group.namespace:
        labels = dict(group.labels)
        yield pytest.mark.egress_workload(group.namespace, labels=labels)
    if group.contract:
        yield pytest.mark.egress_contract(*group.contract)
    if group.policy:
        yield pytest.mark.egress_policy(group.policy)
    if group.dns_proxy is not None:
        yield pytest.mark.egress_dns_proxy(group.dns_proxy)


def _name(expectation: Expectation) -> str:
    return f"{expectation.kind}[{expectation.target}]"

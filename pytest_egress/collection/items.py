"""pytest's nodes for contract files: one item for each check of what they declare."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from pytest_egress.collection.asked import asked
from pytest_egress.collection.checks import Check, plan
from pytest_egress.contract.contract import Contract
from pytest_egress.contract.position import Position, Problem
from pytest_egress.contract.resources import Workload
from pytest_egress.egress import Egress
from pytest_egress.errors import ContractError
from pytest_egress.expectations import Expectation
from pytest_egress.fixtures import CONTRACT, EXPECTATIONS
from pytest_egress.loading import loader
from pytest_egress.settings import lookup

__all__ = ["ContractFile", "ExpectationItem"]

_PLAN: pytest.StashKey[Plan] = pytest.StashKey()


class Plan:
    """The contract of all collected files, and its checks by file.

    Attributes:
        contract: without the files that cannot be used.
        workload: who asks, where the settings say so.
        broken: what is wrong with the others, by file.
        checks: the checks, by file.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.broken: dict[str, list[Problem]] = {}
        self.contract = self._read(config)
        self.checks: dict[str, list[Check]] = {}
        contracts = loader(config)
        asks = contracts.workload(None, self.contract.mesh)
        given = lookup(config, "workload")[1] != "default"
        self.workload = asks if given else None
        contract = contracts.with_policy(self.contract, None)
        for it in plan(contract, self.workload, dns_capture=asks.dns_capture):
            self.checks.setdefault(os.path.realpath(it.position.file), []).append(it)

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


def _plan(config: pytest.Config) -> Plan:
    if _PLAN not in config.stash:
        config.stash[_PLAN] = Plan(config)
    return config.stash[_PLAN]


class ContractFile(pytest.File):
    """A YAML file of Istio's resources: an item for each check of what its entries declare."""

    def collect(self) -> Iterable[pytest.Item]:
        """The checks, in the order of the file.

        Raises:
            CollectError: the file, or the contract that it is a part of, cannot be used.
        """
        try:
            made = _plan(self.config)
        except ContractError as error:
            raise self.CollectError(str(error)) from None
        file = os.path.realpath(self.path)
        if file in made.broken:
            raise self.CollectError("\n".join(map(str, made.broken[file])))
        checks = made.checks.get(file, [])
        names = Counter(it.name for it in checks)
        for it in checks:
            name = it.name
            if names[name] > 1:
                metadata = it.entry.metadata
                name = f"{name[:-1]}-{metadata.namespace}.{metadata.name}]"
            workload = None if made.workload is not None else it.workload
            yield ExpectationItem.make(
                self, name, it.expectation, it.position, made.contract, workload
            )


class ExpectationItem(pytest.Function):
    """One expectation, checked from a test pod that lives under the contract.

    It has the marker that a test with its expectation would have, and is checked as such a test is.
    """

    position: Position

    @classmethod
    def make(
        cls,
        parent: pytest.File,
        name: str,
        expectation: Expectation,
        position: Position,
        contract: Contract,
        workload: Workload | None,
    ) -> ExpectationItem:
        """An item of ``parent``; without ``workload`` the settings say who asks."""
        item: ExpectationItem = cls.from_parent(parent, name=name, callobj=_under_contract)
        if hasattr(item, "_id"):
            # pytest 9.2 compares ids part by part, and reads those of earlier runs from text.
            item._id = type(item._id).parse(str(item._id))
        item.position = position
        item.stash[CONTRACT] = contract
        item.stash[EXPECTATIONS] = [expectation]
        item.add_marker(_mark(expectation))
        if workload is not None:
            labels = dict(workload.labels)
            item.add_marker(pytest.mark.egress_workload(workload.namespace, labels=labels))
        return item

    def reportinfo(self) -> tuple[Path, int, str]:
        """The line that the expectation is about."""
        return self.path, self.position.line - 1, f"{self.name} (line {self.position.line})"


def _under_contract(egress: Egress) -> None:
    """Ask for a pod; what is expected of it has been checked when this is called."""


def _mark(expectation: Expectation) -> pytest.MarkDecorator:
    if expectation.kind == "resolves":
        return pytest.mark.egress_resolves(expectation.target, to=expectation.addresses)
    if expectation.kind == "blocked":
        return pytest.mark.egress_blocked(expectation.target, **expectation.options)
    return pytest.mark.egress_reachable(expectation.target, **expectation.options)

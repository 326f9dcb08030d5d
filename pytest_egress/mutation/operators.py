"""Every kind of change that is made to a contract, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from pytest_egress.contract.contract import Contract
from pytest_egress.mutation import entries, rules
from pytest_egress.mutation.mutant import Mutant

__all__ = ["OPERATORS", "mutants"]


def _remove_san(contract: Contract) -> Iterator[Mutant]:
    yield from entries.remove_entry_sans(contract)
    yield from rules.remove_rule_sans(contract)


OPERATORS: Final[Mapping[str, Callable[[Contract], Iterator[Mutant]]]] = {
    "drop-host": entries.drop_host,
    "widen-host": entries.widen_host,
    "allow-any": entries.allow_any,
    "other-port": entries.other_port,
    "tls-to-tcp": entries.tls_to_tcp,
    "no-resolution": entries.no_resolution,
    "widen-export": entries.widen_export,
    "remove-san": _remove_san,
    "remove-sidecar-host": entries.remove_sidecar_host,
    "remove-route": rules.remove_route,
    "remove-field": rules.remove_field,
}


def mutants(contract: Contract) -> Iterator[Mutant]:
    """Every mutant of a contract, each with one thing changed."""
    for operator in OPERATORS.values():
        yield from operator(contract)

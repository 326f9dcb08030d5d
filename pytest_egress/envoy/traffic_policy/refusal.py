"""What istiod itself cannot make of a valid DestinationRule, told at the rule's own line."""

from __future__ import annotations

from typing import NoReturn

from pytest_egress.contract.position import Position, Problem
from pytest_egress.envoy.cluster_draft import ClusterDraft
from pytest_egress.errors import ContractError

__all__ = ["refuse"]


def refuse(message: str, draft: ClusterDraft, block: str) -> NoReturn:
    """End the compilation; ``block`` is the field of the policy that is to blame."""
    problem = Problem("error", message, _position(draft, block), "istiod-fails")
    raise ContractError([problem])


def _position(draft: ClusterDraft, block: str) -> Position:
    """Where the block stands that counts for the cluster; the ServiceEntry if the mesh says it."""
    if draft.rule is not None:
        found = draft.rule.position(block, draft.port.number, draft.subset)
        if found is not None:
            return found
    return draft.service.entry.at("spec", "hosts")

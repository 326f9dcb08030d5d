"""A rule of a VirtualService and where it stands: what a route or filter chain was made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pytest_egress.contract.position import Position

if TYPE_CHECKING:
    from pytest_egress.contract.virtual_service.resource import VirtualService

__all__ = ["Rule"]


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """One item of ``http``, ``tls`` or ``tcp``.

    Attributes:
        service: the VirtualService that holds it, as declared.
        kind: which of the three lists.
        index: its place in the list.
        root: the rule that delegates to ``service``; None where nothing is delegated.
    """

    service: VirtualService
    kind: Literal["http", "tls", "tcp"]
    index: int
    root: Rule | None = None

    @property
    def position(self) -> Position:
        """Where the rule stands in the contract."""
        return self.service.at("spec", self.kind, self.index)

    def __str__(self) -> str:
        """``shop/weather http[0]``; a delegate's rule is followed by ``via`` its root."""
        metadata = self.service.metadata
        name = f"{metadata.namespace}/{metadata.name} {self.kind}[{self.index}]"
        return f"{name} via {self.root}" if self.root else name

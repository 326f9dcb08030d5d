"""Who stands at a simulated address."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pytest_egress.upstream.names import patterns

__all__ = ["NOBODY", "Tenants"]


@dataclass(frozen=True, slots=True)
class Tenants:
    """The hosts of one address; both empty when nothing is known of it.

    Attributes:
        named: those that resolve to it.
        served: those that have it, or one of ``named``, for an endpoint.
    """

    named: tuple[str, ...] = ()
    served: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[str]:
        return iter((*self.named, *self.served))

    def meant(self, *asked: str) -> tuple[str, ...]:
        """Return the hosts that something which arrived here is for, the most telling first.

        Who stands at an address answers whatever it was asked for: a mirrored request still names
        the host it was first sent to. So ``asked`` (a Host header, an SNI) only tells which of
        several hosts of a kind is meant, or counts alone where nothing is known.
        """
        names = [name for name in asked if name]
        if self.named or self.served:
            names = [name for name in names if _among(name, self.named + self.served)]
        for kind in (self.named, self.served):
            if not any(_among(name, kind) for name in names):
                names += kind
        return tuple(dict.fromkeys(names))


def _among(name: str, hosts: tuple[str, ...]) -> bool:
    return not set(hosts).isdisjoint(patterns(name))


NOBODY = Tenants()

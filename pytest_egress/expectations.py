"""What a test expects of the outside, as one type for every place where it can be written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from pytest_egress.egress import Egress

__all__ = ["Expectation", "blocked", "check", "reachable", "resolves"]

Kind = Literal["reachable", "blocked", "resolves"]


@dataclass(frozen=True, slots=True)
class Expectation:
    """One declared expectation.

    Attributes:
        kind: ``reachable``, ``blocked`` or ``resolves``.
        target: a URL, or a host name for ``resolves``.
        addresses: for ``resolves``: the exact set of addresses; None: any address will do.
        options: the probe's options.
    """

    kind: Kind
    target: str
    addresses: tuple[str, ...] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


def reachable(*urls: str, **options: Any) -> tuple[Expectation, ...]:
    """Expect each URL to be answered by its declared upstream."""
    return tuple(Expectation("reachable", url, options=options) for url in _some(urls))


def blocked(*urls: str, **options: Any) -> tuple[Expectation, ...]:
    """Expect the mesh to refuse each URL."""
    return tuple(Expectation("blocked", url, options=options) for url in _some(urls))


def resolves(*names: str, to: Iterable[str] | str | None = None) -> tuple[Expectation, ...]:
    """Expect the pod's lookup of each name to give an address; exactly ``to`` where given."""
    addresses = None if to is None else (to,) if isinstance(to, str) else tuple(to)
    return tuple(Expectation("resolves", name, addresses) for name in _some(names))


def check(egress: Egress, expectations: Iterable[Expectation]) -> Iterator[str]:
    """Probe each expectation and yield one explanation for each that does not hold."""
    for expectation in expectations:
        if expectation.kind == "resolves":
            yield from _check_lookup(egress, expectation)
            continue
        outcome = egress.probe(expectation.target, **expectation.options)
        if outcome.verdict.value != expectation.kind.upper():
            yield f"expected {expectation.kind.upper()}, got {outcome.verdict}\n{outcome.explain()}"


def _check_lookup(egress: Egress, expectation: Expectation) -> Iterator[str]:
    resolution = egress.resolve(expectation.target)
    answer = resolution.answer
    if resolution.failure:
        yield f"the lookup of {expectation.target} is INCONCLUSIVE: {resolution.failure}"
    elif not answer.addresses:
        yield f"expected {expectation.target} to resolve, got {answer.rcode}"
    elif expectation.addresses is not None and set(answer.addresses) != set(expectation.addresses):
        yield (
            f"expected {expectation.target} to resolve to {', '.join(expectation.addresses)}, "
            f"got {', '.join(answer.addresses)}"
        )


def _some(values: tuple[str, ...]) -> tuple[str, ...]:
    if not values:
        raise TypeError("expected at least one target")
    for value in values:
        if not isinstance(value, str):
            raise TypeError(f"expected text, got {value!r}")
    return values

"""What a test expects of the outside, as one type for every place where it can be written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from pytest_egress.contract.position import Position
    from pytest_egress.egress import Egress
    from pytest_egress.outcome import Outcome

__all__ = ["Expectation", "Kind", "blocked", "check", "reachable", "resolves"]

Kind = Literal["reachable", "blocked", "resolves"]


@dataclass(frozen=True, slots=True)
class Expectation:
    """One declared expectation.

    Attributes:
        kind: ``reachable``, ``blocked`` or ``resolves``.
        target: a URL, or a host name for ``resolves``.
        addresses: for ``resolves``: the exact set of addresses; None: any address will do.
        options: the probe's options.
        upstream: for ``reachable``: who must have answered, one of these names or addresses;
            None: whoever the contract leads to.
        position: where it is written, or what it is about; None for code.
    """

    kind: Kind
    target: str
    addresses: tuple[str, ...] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    upstream: tuple[str, ...] | None = None
    position: Position | None = None


def reachable(*urls: str, **options: Any) -> tuple[Expectation, ...]:
    """Expect each URL to be answered by its declared upstream.

    Raises:
        TypeError: there is none, or one is no text.
        ProbeError: a URL or an option is wrong.
    """
    return _probes("reachable", urls, options)


def blocked(*urls: str, **options: Any) -> tuple[Expectation, ...]:
    """Expect the mesh to refuse each URL.

    Raises:
        TypeError: there is none, or one is no text.
        ProbeError: a URL or an option is wrong.
    """
    return _probes("blocked", urls, options)


def resolves(*names: str, to: Iterable[str] | str | None = None) -> tuple[Expectation, ...]:
    """Expect the pod's lookup of each name to give an address; exactly ``to`` where given.

    A name may stand in a URL or before a port.

    Raises:
        TypeError: there is no name, or one is no text.
        ValueError: an item of ``to`` is no IP address.
    """
    addresses = None
    if to is not None:
        addresses = tuple(map(_address, (to,) if isinstance(to, str) else to))
        if not addresses:
            raise ValueError("to: expected at least one address")
    return tuple(Expectation("resolves", _host(name), addresses) for name in _some(names))


def check(
    egress: Egress, expectations: Iterable[Expectation], outcome: Outcome | None = None
) -> Iterator[str]:
    """Probe each expectation and yield one explanation for each that does not hold.

    Args:
        egress: the pod.
        expectations: what is expected of it.
        outcome: of the only expectation, where its probe has been made beforehand.
    """
    for expectation in expectations:
        if expectation.kind == "resolves":
            failures = _check_lookup(egress, expectation)
        else:
            failures = _check_probe(egress, expectation, outcome)
        for failure in failures:
            place = expectation.position
            yield f"{place}: {failure}" if place is not None else failure


def _check_probe(egress: Egress, expectation: Expectation, known: Outcome | None) -> Iterator[str]:
    if known is None:
        outcome = egress.probe(expectation.target, **expectation.options)
    else:
        outcome = egress._tell(known)  # noqa: SLF001  as its own probe does
    if outcome.verdict.value != expectation.kind.upper():
        yield f"expected {expectation.kind.upper()}, got {outcome.verdict}\n{outcome.explain()}"
    elif expectation.upstream is not None:
        who = outcome.upstream
        # Where an address was dialled and answered, it is nobody's name that led there.
        dialled = who.address == expectation.options.get("address")
        names = {who.address} if dialled else {who.address, who.host}
        if not names & set(expectation.upstream):
            wanted = " or ".join(expectation.upstream)
            yield f"expected {wanted} to answer, it was {who!r}\n{outcome.explain()}"


def _check_lookup(egress: Egress, expectation: Expectation) -> Iterator[str]:
    name, expected = expectation.target, expectation.addresses
    # A family is asked for where it is expected; without any expectation IPv4, as a probe does.
    families: list[Literal["A", "AAAA"]] = ["A"]
    if expected is not None and any(":" in address for address in expected):
        families = ["A", "AAAA"] if any(":" not in address for address in expected) else ["AAAA"]
    found: list[str] = []
    for family in families:
        resolution = egress.resolve(name, family)
        answer = resolution.answer
        if resolution.failure:
            yield f"the lookup of {name} is INCONCLUSIVE: {resolution.failure}"
            return
        found.extend(map(_address, answer.addresses))
    if not found:
        yield f"expected {name} to resolve, got {answer.rcode}"
    elif expected is not None and set(found) != set(expected):
        yield f"expected {name} to resolve to {', '.join(expected)}, got {', '.join(found)}"


def _probes(
    kind: Kind, urls: tuple[str, ...], options: Mapping[str, Any]
) -> tuple[Expectation, ...]:
    from pytest_egress.probes import read_probe

    for url in _some(urls):
        read_probe(url, 1.0, options)
    return tuple(Expectation(kind, url, options=options) for url in urls)


def _host(text: str) -> str:
    """The host name of a target: of a URL, before a port, or alone."""
    from pytest_egress.probe import ProbeOptionError, Target

    if "://" in text:
        return Target.parse(text).host
    try:
        return Target.parse(f"tcp://{text}:1").host
    except ProbeOptionError:
        return Target.parse(f"tcp://{text}").host  # it has a port of its own


def _address(text: str) -> str:
    """An IP address in its usual spelling."""
    from ipaddress import ip_address

    try:
        return str(ip_address(text))
    except ValueError:
        raise ValueError(f"to: expected IP addresses, got {text!r}") from None


def _some(values: tuple[str, ...]) -> tuple[str, ...]:
    if not values:
        raise TypeError("expected at least one target")
    for value in values:
        if not isinstance(value, str):
            raise TypeError(f"expected text, got {value!r}")
    return values

"""The call log: what the captured code asked for, each call judged with the proxy's record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import overload

from pytest_egress.capture.callsite import CallSite
from pytest_egress.contract.position import Position
from pytest_egress.evidence import Evidence, Hop
from pytest_egress.verdict import Verdict

__all__ = ["Call", "Calls"]


@dataclass(frozen=True, slots=True)
class Call:
    """One request, connection or failed lookup of the captured code.

    Attributes:
        host: the name that was asked for: the request's Host, the handshake's server name, the
            name that was looked up, else the address.
        port: the port that was dialled; 0 for a lookup.
        protocol: ``http`` (plain text, seen as requests), ``tls``, ``tcp``, ``udp`` or ``dns``.
        verdict: what became of it.
        reason: the verdict's reason, one sentence.
        address: the IP address that was dialled, empty for a lookup.
        method: of an ``http`` call.
        path: of an ``http`` call.
        status: of an ``http`` call; 0 where there was none.
        sni: the server name of the handshake.
        declared_by: where the contract declares what was reached.
        bytes_sent: by the captured code, as the proxy counted them.
        bytes_received: by the captured code.
        started: seconds since the capture began.
        test: the test it belongs to.
        where: the line of the user's code that made it; None where no frame of it is on the stack.
        evidence: the proxy's record; None where there is none.
        spoken: what the simulated outside heard: ``tls+http/1.1``, ``h2``, ``tcp`` and such.
        hops: the proxies on its way where there are several, as `Outcome.hops`.
    """

    host: str
    port: int
    protocol: str
    verdict: Verdict
    reason: str
    address: str = ""
    method: str = ""
    path: str = ""
    status: int = 0
    sni: str = ""
    declared_by: tuple[Position, ...] = ()
    bytes_sent: int = 0
    bytes_received: int = 0
    started: float = 0.0
    test: str = ""
    where: CallSite | None = None
    evidence: Evidence | None = None
    spoken: str = ""
    hops: tuple[Hop, ...] = ()

    @property
    def target(self) -> str:
        """What was asked for, as a URL; of a lookup the name."""
        if self.protocol == "dns":
            return self.host
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.protocol}://{host}:{self.port}{self.path}"

    def __str__(self) -> str:
        where = f" at {self.where}" if self.where else ""
        method = f"{self.method} " if self.method else ""
        return f"{self.verdict} {method}{self.target}{where}: {self.reason}"


class Calls(Sequence[Call]):
    """The calls of a capture, in the order in which they were made.

    While the capture lasts each look at it tells what has happened so far.
    """

    def __init__(self, calls: Callable[[], Iterable[Call]] | Iterable[Call] = ()) -> None:
        self._read: Callable[[], Iterable[Call]] | None = None
        self._kept: tuple[Call, ...] = ()
        if callable(calls):
            self._read = calls
        else:
            self._kept = tuple(calls)

    def _all(self) -> tuple[Call, ...]:
        return self._kept if self._read is None else tuple(self._read())

    def freeze(self, calls: Iterable[Call]) -> None:
        """The capture has ended with these."""
        self._read, self._kept = None, tuple(calls)

    @overload
    def __getitem__(self, index: int) -> Call: ...

    @overload
    def __getitem__(self, index: slice) -> Calls: ...

    def __getitem__(self, index: int | slice) -> Call | Calls:
        found = self._all()[index]
        return Calls(found) if isinstance(found, tuple) else found

    def __len__(self) -> int:
        return len(self._all())

    def __iter__(self) -> Iterator[Call]:
        return iter(self._all())

    def __bool__(self) -> bool:
        return bool(self._all())

    def __eq__(self, other: object) -> bool:
        return self._all() == tuple(other) if isinstance(other, Sequence) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # its content changes

    @property
    def hosts(self) -> set[str]:
        """Every host that was called, whatever came of it; failed lookups included."""
        return {call.host for call in self}

    @property
    def targets(self) -> list[str]:
        """Every target once, in the order of the first call."""
        return list(dict.fromkeys(call.target for call in self))

    @property
    def reachable(self) -> Calls:
        """Those that a declared upstream answered."""
        return self._with(Verdict.REACHABLE)

    @property
    def blocked(self) -> Calls:
        """Those that the mesh refused."""
        return self._with(Verdict.BLOCKED)

    @property
    def undeclared(self) -> Calls:
        """Those that an open mesh let through although nothing declares them."""
        return self._with(Verdict.UNDECLARED)

    @property
    def unreachable(self) -> Calls:
        """Those that the contract lets through and whose upstream failed."""
        return self._with(Verdict.UNREACHABLE)

    @property
    def unresolved(self) -> Calls:
        """The lookups that gave no address."""
        return self._with(Verdict.UNRESOLVED)

    @property
    def inconclusive(self) -> Calls:
        """Those without proof either way."""
        return self._with(Verdict.INCONCLUSIVE)

    def to(self, host: str, port: int | None = None) -> Calls:
        """Those to a host (upper and lower case are the same), and to one port of it."""
        wanted = host.lower().removesuffix(".")
        return Calls(
            call
            for call in self
            if call.host.lower().removesuffix(".") == wanted and port in {None, call.port}
        )

    def assert_only(self, *targets: str) -> None:
        """Check that the calls went to these and nowhere else, and that each was called.

        Args:
            targets: hosts (``api.weather.com``) or host and port (``db.example.com:5432``).

        Raises:
            AssertionError: with what was called beyond them and what was not called.
        """
        __tracebackhide__ = True
        wanted = dict.fromkeys(target.lower() for target in targets)
        seen: set[str] = set()
        beyond: list[Call] = []
        for call in self:
            names = {call.host.lower(), f"{call.host.lower()}:{call.port}"} & wanted.keys()
            seen |= names
            if not names:
                beyond.append(call)
        missing = [target for target in wanted if target not in seen]
        if not beyond and not missing:
            return
        lines = ["the calls went elsewhere:"]
        lines += [f"  + {call}" for call in beyond]
        lines += [f"  - {target} was never called" for target in missing]
        raise AssertionError("\n".join(lines))

    def __repr__(self) -> str:
        calls = self._all()
        if not calls:
            return "<Calls: none>"
        noun = "call" if len(calls) == 1 else "calls"
        lines = [f"<Calls: {len(calls)} {noun}"]
        lines += [f"  {call}" for call in calls]
        return "\n".join(lines) + ">"

    def _with(self, verdict: Verdict) -> Calls:
        return Calls(call for call in self if call.verdict is verdict)

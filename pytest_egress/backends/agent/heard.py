"""What a pod's programs look up, as it is told to a log of calls."""

from __future__ import annotations

from collections.abc import Callable

from pytest_egress.capture.namespace.dns import asked
from pytest_egress.probe import DnsAnswer
from pytest_egress.probe.dns import parse_answer

__all__ = ["tell"]


def tell(heard: Callable[[str, DnsAnswer], None], query: bytes, answer: bytes | None) -> None:
    """Tell what was asked for, and what the answer says of IPv4 addresses."""
    name = asked(query)
    if not name:
        return
    found = None if answer is None else parse_answer(answer, query)
    if found is None:
        heard(name, DnsAnswer(name, "TIMEOUT"))
    else:
        heard(name, DnsAnswer(name, found.rcode, found.addresses))

"""What every connection of one outside shares."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from pytest_egress.upstream.authority import Authority
from pytest_egress.upstream.clients import Clients
from pytest_egress.upstream.journal import Journal
from pytest_egress.upstream.pool import Workers
from pytest_egress.upstream.rules import Rules
from pytest_egress.upstream.zone import Zone

__all__ = ["TOKEN_HEADER", "Site"]

TOKEN_HEADER = "x-egress-upstream"  # noqa: S105  a header's name


@dataclass(frozen=True, slots=True)
class Site:
    """The parts of an outside that its connections need.

    Attributes:
        token: sent with every HTTP answer.
        sign: makes the answer to a nonce on a raw connection.
        stopping: set when the outside stops; delays end then.
    """

    token: str
    sign: Callable[[str], str]
    rules: Rules
    zone: Zone
    journal: Journal
    authority: Authority
    clients: Clients
    workers: Workers
    stopping: threading.Event

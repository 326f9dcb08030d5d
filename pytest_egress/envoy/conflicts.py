"""What happens when two services want the same bind and port."""

from __future__ import annotations

from enum import Enum

from pytest_egress.envoy.protocols import HTTP, SERVER_FIRST, SNIFFED, TCP, Protocol

__all__ = ["Outcome", "resolve_conflict"]


class Outcome(Enum):
    """What becomes of the incoming service."""

    NEW = "the listener is made for it, in place of any earlier one"
    SHARE = "the listener stays as it is; the service may be routed to by its shared routes"
    MERGE = "its filter chains are added, as far as their match is new"
    SNIFF = "as MERGE, and the listener now detects the protocol"
    DROP = "it gets no listener here"


def resolve_conflict(existing: Protocol | None, incoming: Protocol) -> Outcome:
    """The outcome for ``incoming`` on a listener of protocol ``existing`` (None: no listener).

    From istiod's ``buildSidecarOutboundListener``. A wildcard HTTP listener counts as sniffed,
    because its HTTP chain has a match and leaves room for others. MongoDB and MySQL servers speak
    first, which protocol detection would hang on, so they share a port with nothing else.
    """
    if existing is None or incoming == "HTTP_PROXY":
        return Outcome.NEW
    if incoming in HTTP:
        if existing not in TCP:
            return Outcome.SHARE
        outcome = Outcome.SNIFF
    elif incoming == SNIFFED:
        if existing in HTTP:
            return Outcome.NEW
        if existing not in TCP:
            return Outcome.SHARE
        outcome = Outcome.SNIFF
    else:
        outcome = Outcome.SNIFF if existing in HTTP else Outcome.MERGE
    if incoming != existing and SERVER_FIRST & {incoming, existing}:
        return Outcome.DROP
    return outcome

"""What an upstream can be told to do, as values."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

from pytest_egress.received import Request

__all__ = [
    "CERTIFICATES",
    "GRPC_STATUS",
    "Answering",
    "Banner",
    "Certificate",
    "ClientAuth",
    "Conduct",
    "Echo",
    "Effect",
    "Failure",
    "Forward",
    "Grpc",
    "Hang",
    "Lookup",
    "Refuse",
    "Reset",
    "Respond",
    "Serve",
    "Shown",
    "Silent",
    "state_of",
]

Certificate = Literal["valid", "expired", "wrong-name", "unknown-ca"]
CERTIFICATES: tuple[Certificate, ...] = ("valid", "expired", "wrong-name", "unknown-ca")

GRPC_STATUS = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
"""The status names of gRPC; a name's place is its number."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Nobody listens: connect gives ECONNREFUSED."""


@dataclass(frozen=True, slots=True)
class Hang:
    """The accept queue is full: connect gives no answer."""


@dataclass(frozen=True, slots=True)
class Silent:
    """Connections are accepted and read, but nothing is ever sent."""


@dataclass(frozen=True, slots=True)
class Reset:
    """Connections are reset (RST) once their first bytes have come."""


@dataclass(frozen=True, slots=True)
class Banner:
    """The server speaks first."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Echo:
    """Bytes come back as they were sent, whatever protocol they look like."""


@dataclass(frozen=True, slots=True)
class Forward:
    """Bytes go to a server of the user's; ``addresses`` are what its host resolved to."""

    addresses: tuple[tuple[str, int], ...]
    tls_terminate: bool = False


@dataclass(frozen=True, slots=True)
class Respond:
    """HTTP requests get this answer."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Answering(ABC):
    """What answers HTTP requests in this process: an application, or what was recorded."""

    @abstractmethod
    def answer(self, request: Request) -> Respond | None:
        """Return the answer, from any thread; None: the connection is to be reset."""

    def close(self) -> None:  # noqa: B027 - most have nothing to let go of
        """Let go of what answering needs; a later request may take it up again."""


@dataclass(frozen=True, slots=True)
class Serve:
    """HTTP requests are answered in this process."""

    answering: Answering


Conduct = Refuse | Hang | Silent | Reset | Banner | Echo | Forward | Respond | Serve


@dataclass(frozen=True, slots=True)
class Grpc:
    """gRPC calls end with this status; ``code`` is its number."""

    code: int
    message: str


Failure = int | Reset | Grpc
"""What a request may be answered for a number of times: an HTTP status, a reset, a gRPC status."""


@dataclass(frozen=True, slots=True)
class Shown:
    """The certificate that a TLS server shows; without ``names``, one for who was asked for."""

    kind: Certificate = "valid"
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClientAuth:
    """TLS clients are asked for a certificate.

    Attributes:
        required: a handshake without one fails.
        authorities: PEM of the CAs that may have issued it; empty: the outside's own, and every
            certificate that a contract or a probe is known to present counts as well.
    """

    required: bool
    authorities: str = ""


@dataclass(frozen=True, slots=True)
class Lookup:
    """What a name server says of a name.

    Attributes:
        rcode: the response code of RFC 1035 (0 NOERROR, 2 SERVFAIL, 3 NXDOMAIN); None: no answer.
        answers: the addresses of the first lookup, the second, and so on; the last one stays.
    """

    rcode: int | None = 0
    answers: tuple[tuple[str, ...], ...] = ()

    @property
    def addresses(self) -> tuple[str, ...]:
        """Every address that it gives at any time."""
        return tuple(dict.fromkeys(address for answer in self.answers for address in answer))


_VALID = Shown()


@dataclass(frozen=True, slots=True)
class Effect:
    """What holds for one connection or request, drawn from every script that matches it."""

    conduct: Conduct | None = None
    certificate: Shown = _VALID
    clients: ClientAuth | None = None
    grpc: Grpc | None = None


def state_of(effect: Effect) -> Literal["listen", "refuse", "hang"]:
    """What a connect meets: see `pytest_egress.upstream.door.Door`."""
    if isinstance(effect.conduct, Refuse):
        return "refuse"
    return "hang" if isinstance(effect.conduct, Hang) else "listen"

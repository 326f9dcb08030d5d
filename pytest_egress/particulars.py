"""What an outcome tells besides its verdict: who answered, and how long it took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Timings", "UpstreamAddress"]


class UpstreamAddress(str):
    """Who answered: the text ``address:port``, empty when it is not known.

    Attributes:
        host: the host that stands at that address, empty when it is not known.
        address: the IP address.
        port: the port, 0 when it is not known.
    """

    __slots__ = ("address", "host", "port")

    def __new__(cls, host: str = "", address: str = "", port: int = 0) -> Self:  # noqa: ARG004
        """Make it of its parts."""
        bracketed = f"[{address}]" if ":" in address else address
        return super().__new__(cls, f"{bracketed}:{port}" if address else "")

    def __init__(self, host: str = "", address: str = "", port: int = 0) -> None:
        self.host = host
        self.address = address
        self.port = port

    def __repr__(self) -> str:
        return f"{str(self)!r} ({self.host})" if self.host else repr(str(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return UpstreamAddress, (self.host, self.address, self.port)


@dataclass(frozen=True, slots=True)
class Timings:
    """How long it took, in seconds.

    Attributes:
        stages: what the probe spent in each stage that it entered.
        proxy: from the proxy's first byte of the request, or from the connection it accepted,
            until it was done with it (to the millisecond); None: it has no record.
        upstream: from the end of the request to the first byte of the upstream's answer, as the
            proxy saw it for the last attempt; None: there was no answer, or no request.
    """

    stages: Mapping[str, float] = field(default_factory=dict)
    proxy: float | None = None
    upstream: float | None = None

    @property
    def total(self) -> float:
        """All stages together."""
        return sum(self.stages.values())

    @property
    def dns(self) -> float | None:
        """The name lookup; None: there was none."""
        return self.stages.get("dns")

    @property
    def tcp(self) -> float | None:
        """The connection, and with raw TCP the exchange; None: it was not reached."""
        return self.stages.get("tcp")

    @property
    def tls(self) -> float | None:
        """The handshake, and without HTTP in it the exchange; None: it was not reached."""
        return self.stages.get("tls")

    @property
    def http(self) -> float | None:
        """Request and response; None: it was not reached."""
        return self.stages.get("http")

    @property
    def grpc(self) -> float | None:
        """The call; None: it was not reached."""
        return self.stages.get("grpc")

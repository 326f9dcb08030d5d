"""A connection as the outside saw it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from pytest_egress.evidence import UpstreamProof
from pytest_egress.received import ClientCertificate
from pytest_egress.upstream.tenants import NOBODY, Tenants

__all__ = ["Connection"]


@dataclass(slots=True, eq=False)
class Connection:
    """One connection that was accepted; the fields fill as it proceeds.

    Attributes:
        client: who dialled, ``ip:port`` (the proxy's own socket).
        place: the loopback place that was dialled, ``ip:port``.
        address: the simulated address; None when several hosts share the place.
        port: the simulated port; 0 when it is not known.
        tenants: the hosts that stand at that address.
        sni: the server name of the TLS handshake, empty without TLS or without one.
        asked: the host of its last HTTP request.
        protocol: what was spoken: ``tls``, ``http/1.1``, ``h2``, ``tcp`` and such, joined by ``+``;
            empty while nothing has come.
        client_certificate: what the client presented in the handshake; None: nothing, or no TLS.
        carrier: who carried it here from elsewhere, such as a pod: clients of one pod may be called
            as those of another; empty: it was dialled here.
        proxied_for: the client, ``ip:port``, that a PROXY header before all else named.
        received: the first 64 KiB that came outside HTTP.
        forwarded: whether a server of the user's was behind it.
        answered: whether HTTP requests came, and each of them has been answered.
        problem: why it ended, if not in good order.
        open: whether it has not ended yet.
        time: seconds since the epoch.
    """

    client: str
    place: str
    address: str | None
    port: int
    tenants: Tenants = NOBODY
    sni: str = ""
    asked: str = ""
    protocol: str = ""
    client_certificate: ClientCertificate | None = None
    carrier: str = ""
    proxied_for: str = ""
    received: bytes = b""
    forwarded: bool = False
    answered: bool = False
    problem: str = ""
    open: bool = True
    time: float = field(default_factory=time.time)

    @property
    def tls(self) -> bool:
        """Whether a TLS handshake was made."""
        return self.protocol.startswith("tls")

    @property
    def names(self) -> tuple[str, ...]:
        """The hosts that it is for: who stands at that address, or was asked for."""
        return self.tenants.meant(self.asked, self.sni)

    def proof(self) -> UpstreamProof:
        """Return what this says of the upstream that was reached."""
        return UpstreamProof(
            host=self._host(),
            address=self.address or "",
            port=self.port,
            forwarded=self.forwarded,
            details={
                "sni": self.sni,
                "protocol": self.protocol,
                "problem": self.problem,
                "answered": self.answered,
            },
        )

    def _host(self) -> str:
        """The host that was asked for, if it stands there; else the only one that does."""
        told = [name for name in self.names if name in {self.asked, self.sni}]
        if told:
            return told[0]
        for kind in (self.tenants.named, self.tenants.served):
            if kind:
                return kind[0] if len(kind) == 1 and not kind[0].startswith("*.") else ""
        return ""

"""What the simulated outside received, as values: requests and the certificates of clients."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography import x509

__all__ = ["ClientCertificate", "Headers", "Request"]


class Headers(Mapping[str, str]):
    """Header fields: names in any case, several fields of one name joined by a comma (RFC 9110)."""

    __slots__ = ("_fields",)

    def __init__(self, fields: Iterable[tuple[str, str]]) -> None:
        self._fields = tuple(fields)

    def __getitem__(self, name: str) -> str:
        values = self.all(name)
        if not values:
            raise KeyError(name)
        return ", ".join(values)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name.lower() for name, _ in self._fields))

    def __len__(self) -> int:
        return len({name.lower() for name, _ in self._fields})

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self.all(name))

    def __repr__(self) -> str:
        return f"Headers({list(self._fields)!r})"

    def all(self, name: str) -> list[str]:
        """Return the values of every field of that name, in order."""
        wanted = name.lower()
        return [value for key, value in self._fields if key.lower() == wanted]


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """The certificate that a TLS client presented.

    Attributes:
        subject: as ``CN=..., O=...``.
        sans: its subject alternative names: DNS names, addresses and URIs as plain text.
        issuer: written like the subject.
        fingerprint: SHA-256 of its DER, 64 hexadecimal digits in lower case.
        der: the certificate itself.
    """

    subject: str
    sans: tuple[str, ...]
    issuer: str
    fingerprint: str
    der: bytes = field(repr=False)

    @classmethod
    def from_der(cls, der: bytes) -> ClientCertificate:
        """Read a certificate; of one that cannot be read, only the fingerprint is known."""
        from cryptography import x509

        fingerprint = hashlib.sha256(der).hexdigest()
        try:
            read = x509.load_der_x509_certificate(der)
            names = [_text(name) for name in (read.subject, read.issuer)]
            sans = _alternative_names(read)
        except ValueError:
            return cls("", (), "", fingerprint, der)
        return cls(names[0], sans, names[1], fingerprint, der)


def _text(name: x509.Name) -> str:
    return ", ".join(f"{item.rfc4514_attribute_name}={item.value!s}" for item in name)


def _alternative_names(certificate: x509.Certificate) -> tuple[str, ...]:
    from cryptography import x509

    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(str(name.value) for name in found)


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request as it arrived.

    Attributes:
        method: as sent, such as ``GET``.
        path: the request target: path and query.
        headers: its header fields, without HTTP/2's pseudo headers.
        body: at most 1 MiB of it.
        host: the host it asked for (Host header or ``:authority``), lower case, without a port.
        sni: the server name of the TLS handshake, empty without TLS or without one.
        http_version: ``HTTP/1.0``, ``HTTP/1.1`` or ``HTTP/2``.
        address: the simulated address it arrived at; None when several hosts share the place.
        port: the simulated port it arrived at; 0 when it is not known.
        tls: whether it came over TLS.
        client_certificate: what the client presented in the handshake; None: nothing, or no TLS.
        client: who dialled, ``ip:port``: the same for every request of one connection.
        names: the hosts that it is for: who stands at that address, or was asked for.
        time: seconds since the epoch.
    """

    method: str
    path: str
    headers: Headers
    body: bytes
    host: str
    sni: str
    http_version: str
    address: str | None
    port: int
    tls: bool = False
    client_certificate: ClientCertificate | None = None
    client: str = ""
    names: tuple[str, ...] = ()
    time: float = field(default_factory=time.time)

    def is_for(self, host: str) -> bool:
        """Whether it is for ``host``: a name, a ``*.`` wildcard, or an address."""
        suffix = host.removeprefix("*") if host.startswith("*.") else None
        return any(
            name == host or (suffix is not None and name.endswith(suffix)) for name in self.names
        )

    @property
    def id(self) -> str:
        """The proxy's ``x-request-id``: the same for every attempt and mirror of one request."""
        return self.headers.get("x-request-id", "")

    @property
    def attempt(self) -> int:
        """The proxy's ``x-envoy-attempt-count``: 1 for the first attempt, 0 where it is absent."""
        count = self.headers.get("x-envoy-attempt-count", "")
        return int(count) if count.isdecimal() else 0

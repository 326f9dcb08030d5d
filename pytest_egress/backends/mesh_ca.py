"""The mesh's own certificates, between proxies of ours: what the agents would get from istiod."""

from __future__ import annotations

import datetime as dt
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_egress.envoy.secrets import Identity

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

__all__ = ["MeshAuthority"]

_YEAR = dt.timedelta(days=365)


class MeshAuthority:
    """A throw-away CA that names workloads as istiod does, in URIs (SPIFFE).

    Args:
        directory: gets the keys and certificates; nobody else reads it.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._root: tuple[ec.EllipticCurvePrivateKey, x509.Certificate] | None = None
        self._issued: dict[str, Identity] = {}

    def identity(self, trust_domain: str, namespace: str, service_account: str) -> Identity:
        """The files of a workload's certificate; the same for the same workload."""
        uri = f"spiffe://{trust_domain}/ns/{namespace}/sa/{service_account}"
        with self._lock:
            if uri not in self._issued:
                self._issued[uri] = self._issue(uri, len(self._issued))
            return self._issued[uri]

    def _issue(self, uri: str, number: int) -> Identity:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.serialization import (
            Encoding,
            NoEncryption,
            PrivateFormat,
        )

        authority, root = self._root or self._found()
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = (
            _draft(x509.Name([]), root.subject)
            .public_key(key.public_key())
            .add_extension(
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=True
            )
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .sign(authority, hashes.SHA256())
        )
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return Identity(
            certificate=self._write(f"{number}.pem", leaf.public_bytes(Encoding.PEM)),
            key=self._write(f"{number}.key", private),
            root=self._write("root.pem", root.public_bytes(Encoding.PEM)),
        )

    def _found(self) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import NameOID

        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "cluster.local")])
        root = (
            _draft(name, name)
            .public_key(key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        self._root = key, root
        return self._root

    def _write(self, name: str, data: bytes) -> str:
        path = self._directory / name
        path.write_bytes(data)
        path.chmod(0o600)
        return str(path)


def _draft(subject: x509.Name, issuer: x509.Name) -> x509.CertificateBuilder:
    from cryptography import x509

    now = dt.datetime.now(dt.timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _YEAR)
        .not_valid_after(now + _YEAR)
    )

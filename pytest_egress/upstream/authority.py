"""The throw-away certificate authority of an outside, and the TLS contexts of its servers."""

from __future__ import annotations

import datetime as dt
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_egress.upstream.conduct import Certificate, ClientAuth
from pytest_egress.upstream.names import is_address

if TYPE_CHECKING:
    import ssl

    import trustme

__all__ = ["CA_NAME", "Authority"]

CA_NAME = "pytest-egress throw-away CA"
_UNKNOWN_CA_NAME = "pytest-egress unknown CA"
_WRONG_NAME = "wrong-name.invalid"
_NO_SNI = "no-sni.invalid"
_KEPT = 512  # contexts; each takes some 30 kB


_Key = tuple[Certificate, tuple[str, ...], ClientAuth | None]


class Authority:
    """Issues a certificate for each server name that is asked for.

    The key of the CA never leaves memory. The key of a leaf passes through a file in ``directory``
    (mode 0700) for as long as :mod:`ssl` takes to load it, for it loads keys from files only.

    Args:
        directory: private; ``ca.pem`` is written there.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.RLock()
        self._ca: trustme.CA | None = None
        self._unknown: trustme.CA | None = None
        self._revoked = b""
        self._contexts: dict[_Key, ssl.SSLContext] = {}
        self._warming: threading.Thread | None = None

    @property
    def ca_file(self) -> Path:
        """The CA's certificate (PEM), made on first use."""
        self._authority()
        return self._directory / "ca.pem"

    @property
    def ca_pem(self) -> str:
        """The CA's certificate (PEM)."""
        return self._authority().cert_pem.bytes().decode("ascii")

    @property
    def revoked_pem(self) -> bytes:
        """The CA's list of what is revoked (PEM), made on first use: nothing is."""
        if self._revoked:
            return self._revoked
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

        authority = self._authority()
        certificate = x509.load_pem_x509_certificate(authority.cert_pem.bytes())
        key = serialization.load_pem_private_key(authority.private_key_pem.bytes(), None)
        assert isinstance(key, EllipticCurvePrivateKey)  # trustme's default
        now = dt.datetime.now(dt.timezone.utc)
        day = dt.timedelta(days=1)
        revoked = x509.CertificateRevocationListBuilder(certificate.subject, now - day, now + day)
        signed = revoked.sign(key, hashes.SHA256())
        self._revoked = signed.public_bytes(serialization.Encoding.PEM)
        return self._revoked

    def context(
        self,
        identities: tuple[str, ...],
        kind: Certificate = "valid",
        clients: ClientAuth | None = None,
    ) -> ssl.SSLContext:
        """Return the server context for a certificate of ``identities``.

        Args:
            identities: names and addresses that it is for; none: ``no-sni.invalid``.
            kind: what is wrong with it, if anything.
            clients: how clients are asked for a certificate; None: they are not.

        Raises:
            RuntimeError: it cannot be written or loaded.
        """
        key = (kind, identities, clients)
        context = self._contexts.get(key)
        if context is None:
            with self._lock:
                context = self._contexts.get(key)
                if context is None:
                    try:
                        context = self._make(identities, kind, clients)
                    except OSError as error:
                        # On a connection, an OSError is taken for the peer's doing; this is ours.
                        message = f"cannot make a certificate for {identities}: {error}"
                        raise RuntimeError(message) from error
                while len(self._contexts) >= _KEPT:
                    del self._contexts[next(iter(self._contexts))]
                self._contexts[key] = context
        return context

    def warm_up(self, errors: list[BaseException]) -> None:
        """Make the CA and a certificate in the background; ``errors`` takes in what fails."""

        def prepare() -> None:
            try:
                self.context(("warm-up.invalid",))
            except Exception as error:  # noqa: BLE001  kept for the test to see
                errors.append(error)

        self._warming = threading.Thread(
            target=prepare, name="pytest-egress-certificates", daemon=True
        )
        self._warming.start()

    def close(self) -> None:
        """Remove what was written."""
        if self._warming is not None:
            self._warming.join()
        with self._lock:
            (self._directory / "ca.pem").unlink(missing_ok=True)

    def _authority(self) -> trustme.CA:
        with self._lock:
            if self._ca is None:
                import trustme

                ca = trustme.CA(organization_name=CA_NAME, organization_unit_name=CA_NAME)
                ca.cert_pem.write_to_path(self._directory / "ca.pem")
                self._ca = ca
            return self._ca

    def _unknown_authority(self) -> trustme.CA:
        if self._unknown is None:
            import trustme

            self._unknown = trustme.CA(
                organization_name=_UNKNOWN_CA_NAME, organization_unit_name=_UNKNOWN_CA_NAME
            )
        return self._unknown

    def _make(
        self, identities: tuple[str, ...], kind: Certificate, clients: ClientAuth | None
    ) -> ssl.SSLContext:
        import ssl

        leaf = self._issue(identities or (_NO_SNI,), kind)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["h2", "http/1.1"])
        # A ticket that the client has not read when it closes would turn its close into a reset.
        context.num_tickets = 0
        with leaf.private_key_and_cert_chain_pem.tempfile(dir=str(self._directory)) as path:
            context.load_cert_chain(path)
        if clients is not None:
            context.verify_mode = ssl.CERT_REQUIRED if clients.required else ssl.CERT_OPTIONAL
            # A certificate that is known itself is trusted without the CA that issued it.
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
            context.load_verify_locations(cadata=clients.authorities)
        return context

    def _issue(self, identities: tuple[str, ...], kind: Certificate) -> trustme.LeafCert:
        ca = self._unknown_authority() if kind == "unknown-ca" else self._authority()
        if kind == "wrong-name":
            identities = (_WRONG_NAME,)
        yesterday = dt.datetime.now(dt.timezone.utc) - dt.timedelta(days=1)
        not_after = yesterday if kind == "expired" else None
        # A server name comes from the wire: it need not be one that a certificate can hold.
        usable = tuple(filter(_certifiable, identities)) or (_NO_SNI,)
        return ca.issue_cert(*usable, organization_name=CA_NAME, not_after=not_after)


def _certifiable(identity: str) -> bool:
    """Whether a certificate can be issued for ``identity`` (IDNA 2008 allows no underscore)."""
    if is_address(identity):
        return True
    import idna

    try:
        idna.encode(identity.removeprefix("*."), uts46=True)
    except idna.IDNAError:
        return False
    return True

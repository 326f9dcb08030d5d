"""Rules for the TLS of a server (istiod's ``validateTLSOptions``): Gateway and Sidecar ingress."""

from __future__ import annotations

from typing import Any

from pytest_egress.contract.report import Path, Report
from pytest_egress.contract.schema import WRONG

__all__ = ["check_server_tls", "is_cipher"]

_CIPHERS = frozenset(
    (
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-RSA-CHACHA20-POLY1305",
        "ECDHE-ECDSA-AES128-SHA",
        "ECDHE-RSA-AES128-SHA",
        "ECDHE-ECDSA-AES256-SHA",
        "ECDHE-RSA-AES256-SHA",
        "AES128-GCM-SHA256",
        "AES256-GCM-SHA384",
        "AES128-SHA",
        "AES256-SHA",
        "DES-CBC3-SHA",
    )
)
_FILES = ("serverCertificate", "privateKey", "caCertificates")
_CREDENTIALS = ("tlsCertificates", "credentialName", "credentialNames")
_TERMINATING = frozenset({"SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL"})


def check_server_tls(tls: dict[str, Any], path: Path, report: Report) -> None:
    """Report what istiod says of a server's tls settings at ``path``."""
    mode = tls.get("mode", "PASSTHROUGH")
    _warn_ciphers(tls, path, report)
    if mode == "ISTIO_MUTUAL":
        for name in (*_FILES, *_CREDENTIALS):
            if tls.get(name):
                message = f"mode ISTIO_MUTUAL uses the mesh's own certificates: remove {name}"
                report.error("server-tls/istio-mutual", message, (*path, name), key=True)
        return
    if mode not in _TERMINATING and any(tls.get(n) for n in ("caCrl", *_FILES, *_CREDENTIALS)):
        message = f"mode {mode} uses no certificates: they are ignored"
        report.warning("server-tls/passthrough", message, path, key=True)
    sources = [name for name in _CREDENTIALS if tls.get(name)]
    if tls.get("serverCertificate") and tls.get("privateKey"):
        sources.append("serverCertificate")
    if len(sources) > 1:
        message = f"the certificate comes from one place: keep one of {' and '.join(sources)}"
        report.error("server-tls/sources", message, (*path, sources[-1]), key=True)
    if mode in _TERMINATING:
        if tls.get("credentialName") or tls.get("credentialNames"):
            return  # the credential has all that is needed
        _check_certificates(tls, mode, path, report)
    if tls.get("caCrl"):
        if tls.get("credentialName"):
            message = "a revocation list (caCrl) belongs into the credential: remove it here"
            report.error("server-tls/crl", message, (*path, "caCrl"))
        if mode == "SIMPLE":
            message = "a revocation list (caCrl) is not supported with mode SIMPLE"
            report.error("server-tls/crl", message, (*path, "caCrl"))


def _check_certificates(tls: dict[str, Any], mode: str, path: Path, report: Report) -> None:
    if mode != "SIMPLE" and not tls.get("caCertificates"):
        message = f"tls mode {mode} needs caCertificates to check clients by"
        report.error("server-tls/certificates", message, (*path, "mode"))
    holders: list[tuple[Path, dict[str, Any]]] = [
        ((*path, "tlsCertificates", i), it)
        for i, it in enumerate(tls.get("tlsCertificates", ()))
        if it is not WRONG
    ]
    if not tls.get("tlsCertificates"):
        holders = [((*path, "mode"), tls)]
    for place, holder in holders:
        missing = [name for name in ("serverCertificate", "privateKey") if not holder.get(name)]
        if missing:
            message = f"tls mode {mode} needs {' and '.join(missing)}"
            report.error("server-tls/certificates", message, place)


def _warn_ciphers(tls: dict[str, Any], path: Path, report: Report) -> None:
    suites = tls.get("cipherSuites", [])
    if tls.get("minProtocolVersion") in {"TLSV1_0", "TLSV1_1"} and not suites:
        message = "TLS below 1.2 needs cipherSuites that allow it"
        report.warning("server-tls/version", message, (*path, "minProtocolVersion"))
    for i, suite in enumerate(suites):
        if suite is not WRONG and (not is_cipher(suite) or suite in suites[:i]):
            message = f'cipher suite "{suite}" is unknown or given twice: it is ignored'
            report.warning("server-tls/cipher", message, (*path, "cipherSuites", i))
            return


def is_cipher(suite: str) -> bool:
    """As istiod: operators (``-``, ``+``, ``!``) pass unread."""
    return suite in {"", "ALL"} or not suite[0].isalnum() or suite in _CIPHERS

"""The CAs that a pod trusts: the bundle of its operating system, or what comes closest here."""

from __future__ import annotations

from pathlib import Path

from pytest_egress.contract.pod_files import local_path
from pytest_egress.errors import BackendError

__all__ = ["os_bundle"]

# Where Istio's agent looks for it, in its order.
_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/usr/local/etc/ssl/cert.pem",
    "/etc/ssl/certs/ca-certificates",
)


def os_bundle(root: str = "/") -> str:
    """The file with the CAs of the pod whose root directory is ``root``, else of this machine.

    Raises:
        BackendError: there is none.
    """
    for base in dict.fromkeys((root, "/")):
        for bundle in _BUNDLES:
            found = local_path(bundle, base)
            if Path(found).is_file():
                return found
    raise BackendError(
        "the contract verifies certificates with the CAs of the pod's operating system, and none"
        f" are found here (looked for {', '.join(_BUNDLES)})",
        next_step="install the package ca-certificates, or name a file by caCertificates",
    )

"""The environment of a command that runs in a namespace of this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_egress.capture.trust import BUNDLE_VARIABLES

__all__ = ["environment"]

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_JAVA_PASSWORD = b"changeit"  # as of every JDK's own store: nothing in it is secret


def environment(
    ca_file: str | None, directory: Path, given: Mapping[str, str] | None
) -> dict[str, str]:
    """This process's environment, the trust in the outside's CA, and what is ``given``.

    Args:
        ca_file: the CA; None: no trust is added.
        directory: gets a trust store for Java, which reads no PEM; made once.
        given: wins over all else.
    """
    result = dict(os.environ)
    for name in _PROXIES:
        # A proxy of this machine does not exist in the pod.
        for spelling in (name, name.lower()):
            result.pop(spelling, None)
    if ca_file is not None:
        result.update(dict.fromkeys(BUNDLE_VARIABLES, ca_file))
        result["JAVA_TOOL_OPTIONS"] = " ".join(
            [result.get("JAVA_TOOL_OPTIONS", ""), *_java_trust(ca_file, directory)]
        ).strip()
    return {**result, **(given or {})}


def _java_trust(ca_file: str, directory: Path) -> list[str]:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

    write: Any = getattr(pkcs12, "serialize_java_truststore", None)
    if write is None:
        return []  # an older cryptography: Java code then has to be told by the test
    path = directory / "truststore.p12"
    if not path.exists():
        certificate = x509.load_pem_x509_certificate(Path(ca_file).read_bytes())
        entry = pkcs12.PKCS12Certificate(certificate, b"pytest-egress")
        new = path.with_name(f"{path.name}.{os.getpid()}")
        new.write_bytes(write([entry], BestAvailableEncryption(_JAVA_PASSWORD)))
        new.replace(path)
    return [
        f"-Djavax.net.ssl.trustStore={path}",
        "-Djavax.net.ssl.trustStoreType=PKCS12",
        f"-Djavax.net.ssl.trustStorePassword={_JAVA_PASSWORD.decode()}",
    ]

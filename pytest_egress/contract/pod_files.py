"""Files that a contract names by their path in the pod: where they are here, and what is in them.

``local_path`` maps a path of the pod to one of this machine, below the directory that stands for
the pod's root. ``pod_files`` lists what a contract names, ``check_pod_files`` reads it: a file
that is missing, or is not what it is named as, is a problem at the place that names it.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pytest_egress.contract.contract import Contract
from pytest_egress.contract.position import Problem
from pytest_egress.contract.report import Path
from pytest_egress.contract.resources import Resource

__all__ = ["SYSTEM_BUNDLE", "PodFile", "check_pod_files", "local_path", "pod_files"]

#: What ``caCertificates`` says, or means where it is absent: the pod's own trust store.
SYSTEM_BUNDLE = "system"

_MOST_BYTES = 1 << 20
Role = Literal["certificate", "private key", "CA certificate", "revocation list"]
_MARKS: dict[Role, str] = {
    "certificate": "CERTIFICATE",
    "private key": "[A-Z ]*PRIVATE KEY",
    "CA certificate": "CERTIFICATE",
    "revocation list": "X509 CRL",
}


@dataclass(frozen=True, slots=True)
class PodFile:
    """A file that ``resource`` names at ``field``; a private key knows its certificate."""

    resource: Resource
    field: Path
    path: str
    role: Role
    certificate: str = ""


def local_path(path: str, root: str = "/") -> str:
    """The file of this machine that stands for ``path`` in the pod; ``root`` for the pod's root."""
    return os.path.normpath(os.path.join(root, path.lstrip("/")))  # noqa: PTH118


def pod_files(contract: Contract) -> Iterator[PodFile]:
    """Every file of the pod that the contract's DestinationRules and Gateways have read.

    Left out: what the mode does not use, and what a credential brings in place of files.
    """
    if contract.destination_rules:
        from pytest_egress.contract.destination_rule.parts import tls_settings

        for rule in contract.destination_rules:
            for field, client in tls_settings(rule):
                if client.mode not in ("SIMPLE", "MUTUAL") or client.credential_name:
                    continue
                if client.mode == "MUTUAL":
                    yield from _pair(
                        rule,
                        field,
                        "clientCertificate",
                        client.client_certificate,
                        client.private_key,
                    )
                yield from _trust(rule, field, client.ca_certificates, client.ca_crl)
    if not contract.gateways:
        return
    from pytest_egress.contract.kubernetes.registry import enforced_gateways

    for gateway in enforced_gateways(contract):
        for i, server in enumerate(gateway.servers):
            tls, field = server.tls, ("spec", "servers", i, "tls")
            if (
                tls is None
                or tls.mode not in ("SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL")
                or tls.credential_name
                or tls.credential_names
            ):
                continue
            for j, pair in enumerate(tls.tls_certificates):
                place: Path = (*field, "tlsCertificates", j)
                yield from _pair(
                    gateway, place, "serverCertificate", pair.server_certificate, pair.private_key
                )
            if not tls.tls_certificates:
                yield from _pair(
                    gateway, field, "serverCertificate", tls.server_certificate, tls.private_key
                )
            yield from _trust(gateway, field, tls.ca_certificates, tls.ca_crl)


def check_pod_files(contract: Contract, root: str = "/") -> list[Problem]:
    """Read every file of ``pod_files`` and report each that cannot be used."""
    problems: list[Problem] = []
    good: set[str] = set()
    for file in pod_files(contract):
        found = _flaw(file, root, good)
        if found is None:
            good.add(file.path)
            continue
        rule, reason = found
        name = file.field[-1]
        message = f'{name} "{file.path}" is a path in the pod, looked for at {reason}'
        problems.append(Problem("error", message, file.resource.at(*file.field), rule))
    return problems


def _pair(
    resource: Resource, field: Path, name: str, certificate: str, key: str
) -> Iterator[PodFile]:
    yield PodFile(resource, (*field, name), certificate, "certificate")
    yield PodFile(resource, (*field, "privateKey"), key, "private key", certificate)


def _trust(resource: Resource, field: Path, ca: str, crl: str) -> Iterator[PodFile]:
    if ca and ca != SYSTEM_BUNDLE:
        yield PodFile(resource, (*field, "caCertificates"), ca, "CA certificate")
    if crl:
        yield PodFile(resource, (*field, "caCrl"), crl, "revocation list")


def _flaw(file: PodFile, root: str, good: set[str]) -> tuple[str, str] | None:
    """The rule that a file breaks, and where it was looked for and why not."""
    place = local_path(file.path, root)
    data = _read(place)
    if isinstance(data, str):
        mend = (
            "put it there, or set egress_pod_root to the directory that stands for the pod's root"
        )
        return "pod-file/unreadable", f"{place}: {data}; {mend}"
    reason = _content_flaw(file, place, data, root if file.certificate in good else None)
    return None if reason is None else ("pod-file/content", f"{place}: {reason}")


def _read(place: str) -> bytes | str:
    """The bytes of a file, or why there are none; never blocks."""
    try:
        with os.fdopen(os.open(place, os.O_RDONLY | os.O_NONBLOCK), "rb") as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                return "this is not a file"
            return stream.read(_MOST_BYTES)
    except IsADirectoryError:
        return "this is a directory, not a file"
    except FileNotFoundError:
        return "there is no such file"
    except (OSError, ValueError) as error:
        return f"it cannot be read ({getattr(error, 'strerror', None) or error})"


def _content_flaw(file: PodFile, place: str, data: bytes, root: str | None) -> str | None:
    """What is wrong with a file's content; a key is tried with its certificate below ``root``."""
    import ssl

    kind = _MARKS[file.role]
    blocks = re.findall(rf"-----BEGIN {kind}-----.*?-----END {kind}-----".encode(), data, re.DOTALL)
    if not blocks:
        return f"it holds no {file.role} in PEM (-----BEGIN {kind.rpartition(']*')[2]}-----)"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if file.role == "private key":
            if b"ENCRYPTED" in blocks[0]:
                return "the private key is encrypted, and Istio gives no password: decrypt it"
            if root is not None:
                context.load_cert_chain(local_path(file.certificate, root), place)
        elif file.role == "revocation list":
            context.load_verify_locations(cafile=place)
        else:
            for block in blocks:
                der = ssl.PEM_cert_to_DER_cert(block.decode("ascii", "replace"))
                context.load_verify_locations(cadata=der)
    except ssl.SSLError as error:
        if error.reason in {"KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"}:
            return f'the private key does not belong to the certificate "{file.certificate}"'
        return f"the {file.role} in it cannot be used ({error.reason or error})"
    except ValueError as error:  # no base64
        return f"the {file.role} in it is damaged ({error})"
    return None

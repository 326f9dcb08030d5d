"""Rules for the TLS of a client (istiod's ``ValidateTLS``)."""

from __future__ import annotations

from typing import Any

from pytest_egress.contract.report import Path, Report

__all__ = ["CONFIG_MAP", "check_client_tls"]

CONFIG_MAP = "configmap://"
_FILES = ("clientCertificate", "privateKey", "caCertificates", "caCrl")


def check_client_tls(tls: dict[str, Any], path: Path, namespace: str, report: Report) -> None:
    """Report what istiod says of the ``tls`` at ``path``, in a rule of ``namespace``."""
    mode, credential = tls.get("mode", "DISABLE"), tls.get("credentialName", "")
    if credential.startswith(CONFIG_MAP) and (flaw := _config_map_flaw(credential, namespace)):
        report.error("destination-rule/config-map", flaw, (*path, "credentialName"))
    if tls.get("insecureSkipVerify"):
        _check_insecure(tls, mode, path, report)
    if mode in {"SIMPLE", "MUTUAL"} and credential:
        given = [name for name in _FILES if tls.get(name)]
        if given:
            message = f"credentialName brings the certificates: remove {' and '.join(given)}"
            report.error("destination-rule/credential", message, (*path, given[0]), key=True)
        return
    if mode == "MUTUAL":
        for name in ("clientCertificate", "privateKey"):
            if not tls.get(name):
                message = f"tls mode MUTUAL needs {name}, the path of a file in the pod"
                report.error("destination-rule/mutual", message, (*path, name))


def _config_map_flaw(credential: str, namespace: str) -> str | None:
    parts = credential.removeprefix(CONFIG_MAP).split("/")
    if len(parts) < 2 or not parts[0] or not parts[1]:
        return f'"{credential}" names no ConfigMap: write configmap://namespace/name'
    if parts[0] != namespace:
        return (
            f'"{parts[0]}" is not the rule\'s own namespace: the ConfigMap must be in {namespace}'
        )
    return None


def _check_insecure(tls: dict[str, Any], mode: str, path: Path, report: Report) -> None:
    """Who checks nothing has no use for what the check goes by."""
    useless = {"SIMPLE": ("caCertificates", "credentialName", "subjectAltNames")}.get(
        mode, ("caCertificates", "subjectAltNames")
    )
    given = [name for name in useless if tls.get(name)]
    if mode in {"SIMPLE", "MUTUAL"} and given:
        message = f"insecureSkipVerify checks nothing: remove it, or {' and '.join(given)}"
        report.error("destination-rule/insecure", message, (*path, given[0]), key=True)

"""What a Gateway may ask for that a gateway of ours cannot give."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_egress.contract.contract import Contract
from pytest_egress.contract.gateway.resource import Server
from pytest_egress.contract.kubernetes.registry import enforced_gateways
from pytest_egress.contract.report import Path
from pytest_egress.contract.resources import Resource

__all__ = ["unsupported_servers"]

_UNIX = "unix://"


def unsupported_servers(contract: Contract) -> Iterator[tuple[Resource, Path, str]]:
    """Each field with the reason, of the Gateways that a gateway of ours runs."""
    for gateway in enforced_gateways(contract):
        for index, server in enumerate(gateway.servers):
            for path, reason in _reasons(server):
                yield gateway, ("spec", "servers", index, *path), reason


def _reasons(server: Server) -> Iterator[tuple[Path, str]]:
    if server.bind.startswith(_UNIX):
        yield ("bind",), f'bind "{server.bind}" is a Unix socket of the pod\'s own file system'
    tls = server.tls
    if tls is None:
        return
    if tls.mode == "AUTO_PASSTHROUGH":
        yield ("tls", "mode"), "AUTO_PASSTHROUGH serves other clusters of the mesh"
    names = {
        "credentialName": tls.credential_name,
        "caCertCredentialName": tls.ca_cert_credential_name,
    }
    for field, name in names.items():
        if name:
            yield ("tls", field), f'"{name}" is a Secret of the cluster'
    for index, name in enumerate(tls.credential_names):
        yield ("tls", "credentialNames", index), f'"{name}" is a Secret of the cluster'

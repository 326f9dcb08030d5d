"""TLS of a proxy without the agent: files of this machine in place of its secrets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from pytest_egress.contract.pod_files import SYSTEM_BUNDLE, local_path

__all__ = ["Identity", "Secrets", "gateway_link", "server_socket", "with_files"]

Json = dict[str, Any]

_PROXY_HEADER = "envoy.transport_sockets.upstream_proxy_protocol"
_WORKLOAD = {"default", "ROOTCA"}  # the workload's own certificate and the mesh's CA


@dataclass(frozen=True, slots=True)
class Identity:
    """The files of a workload's own certificate (``default``) and of the mesh's CA (``ROOTCA``)."""

    certificate: str
    key: str
    root: str


@dataclass(frozen=True, slots=True)
class Secrets:
    """Where the files are that the agent would serve to the proxy.

    Attributes:
        bundle: gives the file with the CAs that the pod trusts: its OS's, or the simulated
            outside's; asked for only where a cluster verifies something.
        root: the directory that stands for the pod's root.
        simulated: the CA of ``bundle`` stands for whatever CA a contract names, and nothing that
            it has issued is revoked.
        identity: the proxy's own, spoken with proxies of ours alone; None where there are none.
    """

    bundle: Callable[[], str]
    root: str = "/"
    simulated: bool = True
    identity: Identity | None = None


def with_files(cluster: Json, secrets: Secrets) -> Json:
    """A cluster whose TLS is made from files.

    Mutual TLS between sidecars needs the mesh's own CA: its endpoints are spoken to in plain text,
    which changes neither the route nor the verdict.
    """
    result = dict(cluster)
    matches = result.pop("transport_socket_matches", None)
    if matches:
        # The last one is for endpoints that do not take Istio's TLS.
        result["transport_socket"] = matches[-1]["transport_socket"]
    socket = result.pop("transport_socket", None)
    if socket is not None:
        socket = _socket(socket, secrets)
    if socket is not None:
        result["transport_socket"] = socket
    return result


def gateway_link(cluster: Json, secrets: Secrets) -> Json:
    """A cluster that leads to a gateway of ours: the TLS is what it says, the mesh's own included.

    Nothing simulated is behind it, so that the CAs are those that the contract names.
    """
    own = replace(secrets, simulated=False)
    result = dict(cluster)
    if "transport_socket_matches" in cluster:
        result["transport_socket_matches"] = [
            {**it, "transport_socket": server_socket(it["transport_socket"], own)}
            for it in cluster["transport_socket_matches"]
        ]
    if "transport_socket" in cluster:
        result["transport_socket"] = server_socket(cluster["transport_socket"], own)
    return result


def server_socket(socket: Json, secrets: Secrets) -> Json:
    """The transport socket of a link between proxies of ours, at either end, from files."""
    config = socket["typed_config"]
    if socket["name"] == _PROXY_HEADER:
        inner = server_socket(config["transport_socket"], secrets)
        return {**socket, "typed_config": {**config, "transport_socket": inner}}
    common = config.get("common_tls_context")
    if common is None:
        return socket
    files = _context(common, replace(secrets, simulated=False))
    return {**socket, "typed_config": {**config, "common_tls_context": files}}


def _socket(socket: Json, secrets: Secrets) -> Json | None:
    """The transport socket from files; None for plain text."""
    config = socket["typed_config"]
    if socket["name"] == _PROXY_HEADER:
        inner = _socket(config["transport_socket"], secrets) or _RAW
        return {**socket, "typed_config": {**config, "transport_socket": inner}}
    common = config.get("common_tls_context")
    if common is None:
        return None  # plain bytes
    if _WORKLOAD & {it["name"] for it in common.get("tls_certificate_sds_secret_configs", ())}:
        return None
    return {
        **socket,
        "typed_config": {**config, "common_tls_context": _context(common, secrets)},
    }


_RAW: Json = {
    "name": "envoy.transport_sockets.raw_buffer",
    "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"
    },
}


def _context(common: Json, secrets: Secrets) -> Json:
    result = dict(common)
    certificates = result.pop("tls_certificate_sds_secret_configs", ())
    if certificates:
        result["tls_certificates"] = [_certificate(it["name"], secrets) for it in certificates]
    combined = result.pop("combined_validation_context", None)
    if combined is not None:
        validation = dict(combined["default_validation_context"])
        name = combined["validation_context_sds_secret_config"]["name"]
        validation["trusted_ca"] = {"filename": _authority(name, secrets)}
        revoked = validation.pop("crl", None)
        if revoked is not None and not secrets.simulated:
            validation["crl"] = {"filename": local_path(revoked["filename"], secrets.root)}
        result["validation_context"] = validation
    return result


def _certificate(name: str, secrets: Secrets) -> Json:
    own = secrets.identity
    if name == "default" and own is not None:
        return {
            "certificate_chain": {"filename": own.certificate},
            "private_key": {"filename": own.key},
        }
    certificate, _, key = _path(name, "file-cert:").partition("~")
    return {
        "certificate_chain": {"filename": local_path(certificate, secrets.root)},
        "private_key": {"filename": local_path(key, secrets.root)},
    }


def _authority(name: str, secrets: Secrets) -> str:
    if name == "ROOTCA" and secrets.identity is not None:
        return secrets.identity.root
    path = _path(name, "file-root:")
    if secrets.simulated or path == SYSTEM_BUNDLE:
        return secrets.bundle()
    return local_path(path, secrets.root)


def _path(name: str, prefix: str) -> str:
    if not name.startswith(prefix):
        # Contracts with such a secret are refused before they are compiled.
        raise ValueError(f"only a cluster has the secret {name}")
    return name.removeprefix(prefix)

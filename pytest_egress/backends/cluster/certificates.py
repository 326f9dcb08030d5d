"""What a contract's TLS is made with, brought into pods of the run's; pure functions.

Files are mounted into the proxies at the paths that DestinationRules and Gateways name. In
simulation the outside's CA stands for whatever CA a rule names, in a file or in a Secret, and
nothing of it is revoked; between a sidecar and a gateway the files are what they are.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_egress.backends.cluster.services import led_services
from pytest_egress.contract.contract import Contract
from pytest_egress.contract.destination_rule.parts import tls_settings
from pytest_egress.contract.destination_rule.tls import CONFIG_MAP
from pytest_egress.contract.kubernetes.inferred import full_name
from pytest_egress.contract.pod_files import local_path, pod_files
from pytest_egress.contract.position import Problem

__all__ = ["Simulated", "credentials", "files_of", "mounts", "moved", "refusals", "secret"]

Json = dict[str, Any]

_SECRET = "kubernetes://"  # noqa: S105  how a credential's name begins
_VOLUME = "egress-file"
_UNMET = (
    "on a cluster, in namespaces of its own, it cannot be enforced: name the files by "
    "clientCertificate, privateKey and caCertificates"
)


@dataclass(frozen=True, slots=True)
class Simulated:
    """What stands for the authorities of the outside.

    Attributes:
        authority: its CA, PEM.
        revoked: makes a list of that CA, PEM, with nothing in it; always the same one.
    """

    authority: bytes
    revoked: Callable[[], bytes]


def files_of(
    contract: Contract, root: str, simulated: Simulated | None, *, gateway: bool = False
) -> dict[str, bytes]:
    """The files that a proxy needs, by their absolute paths there.

    Args:
        contract: names them.
        root: the directory that stands for the pod's root.
        simulated: the outside's authority; None: the real outside is asked.
        gateway: whether the proxy is a gateway's, which has those of Gateways as well.

    Raises:
        OSError: one cannot be read.
    """
    rules = {id(rule): rule for rule in contract.destination_rules}
    within = {it.host for it in led_services(contract)}
    found: dict[str, bytes] = {}
    for file in pod_files(contract):
        rule = rules.get(id(file.resource))
        if rule is None and not gateway:
            continue
        link = rule is None or full_name(rule.host, rule.metadata.namespace) in within
        path = local_path(file.path)
        if simulated is None or link or file.role in {"certificate", "private key"}:
            content = Path(local_path(file.path, root)).read_bytes()
        else:
            content = simulated.revoked() if file.role == "revocation list" else simulated.authority
        # One file may be the certificate and the CA of it.
        known = found.get(path, b"")
        found[path] = known if content in known else known + content
    return found


def secret(name: str, namespace: str, files: Mapping[str, bytes]) -> Json:
    """The Secret that a pod's files are in; see `mounts`."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": f"{name}-files", "namespace": namespace},
        "data": {
            str(number): base64.b64encode(content).decode("ascii")
            for number, content in enumerate(files.values())
        },
    }


def mounts(name: str, files: Mapping[str, bytes]) -> tuple[Json, Json]:
    """Volumes of a pod's files and where the sidecar has them, both by the volumes' names.

    The injector takes one place for each volume.
    """
    volumes, places = {}, {}
    for number, path in enumerate(files):
        key = str(number)
        item = {"key": key, "path": key}
        volumes[f"{_VOLUME}-{key}"] = {"secret": {"secretName": f"{name}-files", "items": [item]}}
        places[f"{_VOLUME}-{key}"] = {"mountPath": path, "subPath": key, "readOnly": True}
    return volumes, places


def credentials(contract: Contract, namespace: str, authority: bytes) -> Iterator[tuple[str, Json]]:
    """What stands for the credentials that istiod serves to sidecars: plural and object.

    Their namespaces are those of the contract.

    Args:
        contract: names them.
        namespace: of the workload.
        authority: the outside's CA, PEM.
    """
    text = authority.decode("ascii")
    for rule in contract.destination_rules:
        for _, tls in tls_settings(rule):
            name = tls.credential_name
            if tls.mode not in ("SIMPLE", "MUTUAL"):
                continue
            if name.startswith(CONFIG_MAP):
                space, _, own = name.removeprefix(CONFIG_MAP).partition("/")
                yield "configmaps", _held("ConfigMap", space, own, {"data": {"ca.crt": text}})
            elif name and rule.workload_selector is not None:
                space, slash, own = name.removeprefix(_SECRET).rpartition("/")
                space = space if slash else namespace
                yield "secrets", _held("Secret", space, own, {"stringData": {"ca.crt": text}})


def moved(spec: Json, name: Mapping[str, str]) -> None:
    """Give the credentials that a rule names with a namespace the cluster's name for it."""
    for policy in (spec, *spec.get("subsets", ())):
        traffic = policy.get("trafficPolicy") or {}
        for level in (traffic, *traffic.get("portLevelSettings", ())):
            tls = level.get("tls") or {}
            credential = tls.get("credentialName", "")
            for kind in (CONFIG_MAP, _SECRET):
                space, slash, own = credential.removeprefix(kind).partition("/")
                if credential.startswith(kind) and slash and space in name:
                    tls["credentialName"] = f"{kind}{name[space]}/{own}"


def refusals(contract: Contract, *, live: bool) -> Iterator[Problem]:
    """The credentials that nothing can stand for."""
    for rule in contract.destination_rules:
        for path, tls in tls_settings(rule):
            name = tls.credential_name
            served = rule.workload_selector is not None or name.startswith(CONFIG_MAP)
            if not name or not served or tls.mode not in ("SIMPLE", "MUTUAL"):
                continue
            kind = "ConfigMap" if name.startswith(CONFIG_MAP) else "Secret"
            if live:
                reason = f'the {kind} "{name}" is not there'
            elif tls.mode == "MUTUAL":
                reason = f'the client certificate is in the {kind} "{name}"'
            else:
                continue
            place = rule.at(*path, "credentialName")
            yield Problem("error", f"{reason}: {_UNMET}", place, "unsupported-on-cluster")


def _held(kind: str, namespace: str, name: str, content: Json) -> Json:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **content}

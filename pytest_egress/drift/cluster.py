"""The contract that a cluster holds: Istio resources and mesh settings, read through its API."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from pytest_egress.contract.contract import Contract
from pytest_egress.contract.mesh import read_mesh
from pytest_egress.contract.resources import MeshConfig, Resource
from pytest_egress.errors import BackendError

__all__ = ["Cluster", "contract_with", "read_cluster"]

_GROUP = "networking.istio.io"
_VERSIONS = ("v1", "v1beta1", "v1alpha3")
_PLURALS = {
    "serviceentries": "service_entries",
    "workloadentries": "workload_entries",
    "sidecars": "sidecars",
    "virtualservices": "virtual_services",
    "destinationrules": "destination_rules",
    "gateways": "gateways",
}
_NOT_READ = "envoyfilters"
_NOISE = ("managedFields", "resourceVersion", "uid", "generation")


class Cluster(NamedTuple):
    """What a cluster holds.

    Attributes:
        contract: its resources, in the mesh that its settings describe.
        notes: what was left alone and could change an answer.
    """

    contract: Contract
    notes: tuple[str, ...]


def read_cluster(
    context: str, *, istio_namespace: str = "istio-system", api: Any = None
) -> Cluster:
    """Read the networking resources and the mesh settings of a cluster.

    Args:
        context: of the kubeconfig; empty for the current one.
        istio_namespace: where Istio's ConfigMap ``istio`` is.
        api: an ``ApiClient`` of the kubernetes package; made for the context where None.

    Raises:
        BackendError: the kubernetes package is missing, or the cluster does not answer.
        ContractError: a resource cannot be used.
    """
    try:
        from kubernetes import client, config
        from kubernetes.client.exceptions import ApiException
        from kubernetes.config.config_exception import ConfigException
    except ImportError:
        raise BackendError(
            "comparing with a cluster needs the kubernetes package: "
            "pip install 'pytest-egress[kind]'"
        ) from None
    where = f"context {context}" if context else "the current context"
    try:
        connect: Any = config.new_client_from_config
        api = api or connect(context=context or None)
        custom, core = client.CustomObjectsApi(api), client.CoreV1Api(api)
        objects = [it for plural in _PLURALS for it in _listed(custom, plural, ApiException)]
        filters = _listed(custom, _NOT_READ, ApiException)
        mesh = _mesh(core, istio_namespace, ApiException)
    except (ApiException, ConfigException, OSError) as error:
        reason = getattr(error, "reason", None) or error
        raise BackendError(f"{where} cannot be read: {reason}") from None
    except Exception as error:
        # urllib3's own errors have no common base beside Exception that kubernetes re-exports.
        if type(error).__module__.startswith("urllib3"):
            raise BackendError(f"{where} does not answer: {error}") from None
        raise
    notes = [
        f"EnvoyFilter {it['metadata']['namespace']}/{it['metadata']['name']} is not looked at"
        for it in filters
    ]
    return Cluster(_contract(objects, mesh, context or "cluster"), tuple(notes))


def contract_with(cluster: Contract, files: Contract) -> Contract:
    """The contract of a cluster once the files of one are applied to it.

    In the namespaces that the files speak of they are all there is; others stay as they are. A
    resource that the cluster has already keeps its age.
    """
    theirs = {
        kind: {_identity(it): it for it in getattr(cluster, kind)} for kind in _PLURALS.values()
    }
    spoken_of = {it.metadata.namespace for kind in _PLURALS.values() for it in getattr(files, kind)}
    changed: dict[str, Any] = {}
    for kind, known in theirs.items():
        kept = [it for it in known.values() if it.metadata.namespace not in spoken_of]
        given = [_aged(it, known.get(_identity(it))) for it in getattr(files, kind)]
        changed[kind] = tuple(kept + given)
    return dataclasses.replace(
        cluster,
        kubernetes_services=files.kubernetes_services,
        kubernetes_pods=files.kubernetes_pods,
        files=files.files,
        warnings=files.warnings,
        **changed,
    )


def _identity(resource: Resource) -> tuple[str, str]:
    return resource.metadata.namespace, resource.metadata.name


def _aged(resource: Any, known: Resource | None) -> Any:
    if known is None:
        return resource
    age = known.metadata.creation_timestamp
    metadata = dataclasses.replace(resource.metadata, creation_timestamp=age)
    return dataclasses.replace(resource, metadata=metadata)


def _listed(custom: Any, plural: str, missing: type[Exception]) -> list[dict[str, Any]]:
    """The objects of one kind, in the newest version that is served; none where it is not there."""
    for version in _VERSIONS:
        try:
            found = custom.list_cluster_custom_object(_GROUP, version, plural)
        except missing as error:
            if getattr(error, "status", None) != 404:
                raise
            continue
        return list(found["items"])
    return []


def _mesh(core: Any, namespace: str, missing: type[Exception]) -> MeshConfig:
    try:
        settings = core.read_namespaced_config_map("istio", namespace)
    except missing as error:
        if getattr(error, "status", None) != 404:
            raise
        raise BackendError(
            f"there is no ConfigMap istio in namespace {namespace}: name Istio's with "
            "--istio-namespace"
        ) from None
    return read_mesh((settings.data or {}).get("mesh", ""), f"configmap/{namespace}/istio")[0]


def _contract(objects: Iterable[dict[str, Any]], mesh: MeshConfig, name: str) -> Contract:
    from pytest_egress.contract.collect import Collector
    from pytest_egress.contract.load import contract_of
    from pytest_egress.contract.source import Source

    collector = Collector(mesh)
    for it in objects:
        metadata = it["metadata"]
        for noise in _NOISE:
            metadata.pop(noise, None)
        place = f"{name}:{it['kind']}/{metadata.get('namespace', '')}/{metadata['name']}"
        collector.add(Source(place, json.dumps(it, indent=2)))
    return contract_of(collector, mesh)

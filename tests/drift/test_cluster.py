"""The contract that a cluster holds, read through a stand-in of the kubernetes package."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import yaml

from pytest_egress.contract import loads
from pytest_egress.drift import compare
from pytest_egress.drift.cluster import contract_with, read_cluster
from pytest_egress.errors import BackendError, ContractError
from tests.observed import documents, entry, sidecar

MESH = "outboundTrafficPolicy: {mode: REGISTRY_ONLY}\n"


class ApiError(Exception):
    """As ``kubernetes.client.exceptions.ApiException``."""

    def __init__(self, status: int, reason: str = "") -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class ConfigError(Exception):
    """As ``kubernetes.config.config_exception.ConfigException``."""


class Server:
    """What a cluster holds: objects by plural, the versions that it serves, its mesh settings."""

    def __init__(self) -> None:
        self.objects: dict[str, list[dict[str, Any]]] = {}
        self.versions = {"v1"}
        self.mesh: str | None = MESH
        self.refuses = 0
        self.context: str | None = "never asked"

    def add(self, text: str, created: str = "2024-01-01T00:00:00Z") -> None:
        """Put the documents of a text into the cluster."""
        for value in yaml.safe_load_all(text):
            value["metadata"] |= {"creationTimestamp": created, "uid": "1", "managedFields": [{}]}
            plural = value["kind"].lower() + "s"
            plural = plural.replace("entrys", "entries")
            self.objects.setdefault(plural, []).append(value)

    def list_cluster_custom_object(self, group: str, version: str, plural: str) -> Any:
        """As the package's."""
        assert group == "networking.istio.io"
        if self.refuses:
            raise ApiError(self.refuses, "Forbidden")
        if version not in self.versions:
            raise ApiError(404)
        return {"items": self.objects.get(plural, [])}

    def read_namespaced_config_map(self, name: str, namespace: str) -> Any:
        """As the package's."""
        if self.mesh is None or (name, namespace) != ("istio", "istio-system"):
            raise ApiError(404)
        return SimpleNamespace(data={"mesh": self.mesh})


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    """A cluster behind the kubernetes package."""
    server = Server()

    def connect(context: str | None) -> str:
        server.context = context
        if context == "unknown":
            raise ConfigError("no such context")
        return "api"

    modules: dict[str, dict[str, Any]] = {
        "kubernetes": {},
        "kubernetes.client": {
            "CustomObjectsApi": lambda _: server,
            "CoreV1Api": lambda _: server,
        },
        "kubernetes.client.exceptions": {"ApiException": ApiError},
        "kubernetes.config": {"new_client_from_config": connect},
        "kubernetes.config.config_exception": {"ConfigException": ConfigError},
    }
    for name, attributes in modules.items():
        module = ModuleType(name)
        vars(module).update(attributes)
        monkeypatch.setitem(sys.modules, name, module)
        if "." in name:
            parent, _, child = name.rpartition(".")
            setattr(sys.modules[parent], child, module)
    return server


def test_what_a_cluster_holds(server: Server) -> None:
    """Its resources with their age, in its mesh; what is not looked at is noted."""
    server.add(
        documents(entry("a", "a.example", {443: "HTTPS"}), sidecar(egress=[{"hosts": ["./*"]}]))
    )
    server.objects["envoyfilters"] = [{"metadata": {"namespace": "shop", "name": "lua"}}]
    found = read_cluster("staging")
    assert server.context == "staging"
    [a] = found.contract.service_entries
    assert a.metadata.creation_timestamp == 1704067200
    assert str(a.at("spec", "hosts", 0)).startswith("staging:ServiceEntry/default/a:")
    assert len(found.contract.sidecars) == 1
    assert found.contract.mesh.outbound_traffic_policy.mode == "REGISTRY_ONLY"
    assert found.notes == ("EnvoyFilter shop/lua is not looked at",)


def test_older_versions_are_read(server: Server) -> None:
    """A cluster that serves v1beta1 only."""
    server.versions = {"v1beta1"}
    text = entry("a", "a.example", {443: "HTTPS"})
    server.add(text.replace("networking.istio.io/v1", "networking.istio.io/v1beta1"))
    assert len(read_cluster("").contract.service_entries) == 1
    assert server.context is None


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        ("refuses", "context staging cannot be read: Forbidden"),
        ("mesh", "there is no ConfigMap istio in namespace istio-system"),
        ("context", "context unknown cannot be read: no such context"),
        ("package", "needs the kubernetes package"),
    ],
)
def test_what_cannot_be_read(
    server: Server, monkeypatch: pytest.MonkeyPatch, break_it: str, words: str
) -> None:
    """One error that says what is missing."""
    if break_it == "refuses":
        server.refuses = 403
    elif break_it == "mesh":
        server.mesh = None
    elif break_it == "package":
        monkeypatch.setitem(sys.modules, "kubernetes", None)
    with pytest.raises(BackendError, match=words):
        read_cluster("unknown" if break_it == "context" else "staging")


def test_a_resource_that_cannot_be_used(server: Server) -> None:
    """It is told with its place in the cluster."""
    server.add(entry("a", "*", {443: "HTTPS"}))
    with pytest.raises(ContractError) as caught:
        read_cluster("staging")
    assert "staging:ServiceEntry/default/a:" in str(caught.value)


def test_files_replace_what_their_namespaces_have(server: Server) -> None:
    """Other namespaces stay as they are; what is in both keeps its age."""
    server.add(
        documents(
            entry("a", "a.example", {443: "HTTPS"}),
            entry("gone", "gone.example", {443: "HTTPS"}),
            entry("far", "far.example", {443: "HTTPS"}, namespace="pay"),
        )
    )
    cluster = read_cluster("staging").contract
    files = loads(
        documents(
            entry("a", "a.example", {443: "HTTPS"}), entry("new", "new.example", {443: "HTTPS"})
        ),
        file="f.yaml",
        mesh=cluster.mesh,
    )
    both = contract_with(cluster, files)
    assert {it.metadata.name for it in both.service_entries} == {"a", "new", "far"}
    [a] = [it for it in both.service_entries if it.metadata.name == "a"]
    assert a.metadata.creation_timestamp == 1704067200
    assert [str(it) for it in compare(cluster, both)] == [
        "new.example:443 (TLS) becomes reachable",
        "gone.example:443 (TLS) becomes blocked",
    ]


def test_files_that_are_deployed_as_they_are(server: Server) -> None:
    """No drift."""
    text = documents(entry("a", "a.example", {443: "HTTPS"}), entry("b", "b.example", {80: "HTTP"}))
    server.add(text)
    cluster = read_cluster("staging").contract
    assert compare(cluster, contract_with(cluster, loads(text, mesh=cluster.mesh))) == []

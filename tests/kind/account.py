"""A ServiceAccount of the tests' own, with the roles that ``pytest-egress rbac`` prints."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from pytest_egress.backends.cluster.api import Api
from pytest_egress.backends.cluster.rbac import Mode
from pytest_egress.backends.ownership import labels
from pytest_egress.cli import main
from tests.kind.apiserver import kubeconfig_of

__all__ = ["Account", "account"]

_RBAC = "/apis/rbac.authorization.k8s.io/v1"
_PLURALS = {
    "ClusterRole": "clusterroles",
    "ClusterRoleBinding": "clusterrolebindings",
    "Role": "roles",
    "RoleBinding": "rolebindings",
}


class Account:
    """The account, and how its roles are changed.

    Attributes:
        token: what it shows.
        roles: the objects as they were applied.
    """

    def __init__(self, api: Api, space: str, token: str, roles: list[dict[str, Any]]) -> None:
        self._api = api
        self._space = space
        self.token = token
        self.roles = roles

    def put(self, role: dict[str, Any]) -> None:
        """Put a role in the place of that of its name."""
        self._api.replace(path_of(role, named=True), role, "change a role")

    def delete(self) -> None:
        """Delete the account: its token is not accepted any more, up to ten seconds later."""
        self._api.delete(f"/api/v1/namespaces/{self._space}/serviceaccounts/tests", "delete it")

    def kubeconfig(self, real: Path, directory: Path) -> str:
        """A kubeconfig with its token."""
        cluster, _ = kubeconfig_of(real)
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "account",
            "contexts": [{"name": "account", "context": {"cluster": "it", "user": "me"}}],
            "clusters": [{"name": "it", "cluster": cluster}],
            "users": [{"name": "me", "user": {"token": self.token}}],
        }
        path = directory / "account.kubeconfig"
        path.write_text(yaml.safe_dump(config))
        return str(path)


def path_of(role: dict[str, Any], *, named: bool) -> str:
    """Where a role is at the API server, or its kind."""
    space = role["metadata"].get("namespace")
    path = f"{_RBAC}/namespaces/{space}" if space else _RBAC
    path = f"{path}/{_PLURALS[role['kind']]}"
    return f"{path}/{role['metadata']['name']}" if named else path


@contextlib.contextmanager
def account(api: Api, space: str, mode: Mode, namespace: str = "default") -> Iterator[Account]:
    """An account in a namespace of its own, with the roles of a mode as the command prints them.

    Args:
        api: of the cluster, with an administrator's rights.
        space: the namespace that is made for it.
        mode: how the cluster is to be used.
        namespace: of the test pod or workload.
    """
    body = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": space, "labels": labels()},
    }
    api.create("/api/v1/namespaces", body, "make a namespace")
    made: list[str] = [f"/api/v1/namespaces/{space}"]
    try:
        mine = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "tests"}}
        accounts = f"/api/v1/namespaces/{space}/serviceaccounts"
        api.create(accounts, mine, "make an account")
        arguments = ["--mode", mode, "--account", f"{space}:tests", "--namespace", namespace]
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            assert main(["rbac", *arguments]) == 0
        roles = list(yaml.safe_load_all(printed.getvalue()))
        for role in roles:
            # Not those of somebody who uses this cluster with pytest-egress.
            role["metadata"]["name"] += f"-{space}"
            if "roleRef" in role:
                role["roleRef"]["name"] += f"-{space}"
            api.create(path_of(role, named=False), role, "apply a role")
            made.append(path_of(role, named=True))
        asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        token = api.create(f"{accounts}/tests/token", asked, "ask for a token")["status"]["token"]
        yield Account(api, space, token, [it for it in roles if "rules" in it])
    finally:
        for path in reversed(made):
            api.delete(path, "remove it")

"""The roles that are printed are those that are asked for, and no more."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from pytest_egress.backends.cluster.rbac import MODES, Mode, Review, check, manifest, reviews
from pytest_egress.cli import main
from pytest_egress.errors import BackendError


def granted(objects: list[dict[str, Any]]) -> set[tuple[str, str, str, str]]:
    """What the roles allow: verb, group, resource, namespace."""
    return {
        (verb, group, resource, role["metadata"].get("namespace", ""))
        for role in objects
        if role["kind"] in {"Role", "ClusterRole"}
        for rule in role["rules"]
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


@pytest.mark.parametrize("mode", MODES)
def test_what_is_printed_is_what_is_checked(mode: Mode) -> None:
    """Each verb on each resource; no wildcard, nothing mesh-wide is written."""
    objects = manifest(mode, "ci:tests", "shop", "mesh")
    asked = {(it.verb, it.group, it.resource, it.namespace) for it in reviews(mode, "shop", "mesh")}
    assert granted(objects) == asked
    assert not any("*" in it for right in asked for it in right)
    if mode != "isolated":
        everywhere = {(verb, resource) for verb, _, resource, where in asked if not where}
        assert {verb for verb, _ in everywhere} <= {"get", "list"}
    for role, binding in zip(objects[::2], objects[1::2], strict=True):
        assert binding["kind"] == f"{role['kind']}Binding"
        assert binding["roleRef"]["name"] == role["metadata"]["name"]
        assert binding["subjects"] == [
            {"kind": "ServiceAccount", "name": "tests", "namespace": "ci"}
        ]


@pytest.mark.parametrize(("mode", "where"), [("isolated", ""), ("deployed", "shop")])
def test_images_need_more(mode: Mode, where: str) -> None:
    """Only who runs them is granted that."""
    more = granted(manifest(mode, "ci:tests", "shop", extras=["pod-run"]))
    assert more - granted(manifest(mode, "ci:tests", "shop")) == {
        ("patch", "", "pods/ephemeralcontainers", where),
        ("create", "", "pods/attach", where),
        ("get", "", "pods/attach", where),
    }
    more = granted(manifest(mode, "ci:tests", "shop", extras=["certificates"]))
    assert more - granted(manifest(mode, "ci:tests", "shop")) == {("create", "", "secrets", where)}


def test_rights_that_are_missing_are_told_at_once() -> None:
    """All of them, with the command that prints the roles."""

    def may(review: Review) -> bool:
        return review.verb not in {"create", "*"}

    command = "pytest-egress rbac --mode deployed --namespace shop --account NAME"
    command += " | kubectl apply -f -"
    with pytest.raises(BackendError) as caught:
        check(may, "deployed", "shop", context="staging")
    assert str(caught.value).splitlines() == [
        "the account of context staging lacks rights",
        "  | may not create pods in namespace shop",
        "  | may not create pods/exec in namespace shop",
        "next step: have a cluster administrator run: " + command,
    ]
    check(lambda review: review.verb != "*", "isolated", "", context="staging")


def test_an_administrator_is_asked_once() -> None:
    """Who may do everything in all namespaces may do each of the fifty things."""
    asked: list[Review] = []

    def may(review: Review) -> bool:
        asked.append(review)
        return True

    check(may, "isolated", "")
    assert asked == [Review("*", "*", "*", "")]


def test_a_question_has_the_form_of_the_api() -> None:
    """A subresource stands apart."""
    review = Review("create", "", "pods/exec", "shop")
    assert review.attributes() == {
        "verb": "create",
        "group": "",
        "resource": "pods",
        "subresource": "exec",
        "namespace": "shop",
    }
    elsewhere = Review("list", "networking.istio.io", "sidecars", "")
    assert str(elsewhere) == "list sidecars.networking.istio.io in all namespaces"


@pytest.mark.parametrize(
    ("account", "subject"),
    [
        ("user:jane@example.com", ("User", "jane@example.com")),
        ("group:ci:runners", ("Group", "ci:runners")),
    ],
)
def test_the_command_prints_yaml(
    capsys: pytest.CaptureFixture[str], account: str, subject: tuple[str, str]
) -> None:
    """As kubectl takes it."""
    assert main(["rbac", "--account", account, "--istio-namespace", "mesh"]) == 0
    objects = list(yaml.safe_load_all(capsys.readouterr().out))
    assert [it["kind"] for it in objects] == [
        "ClusterRole",
        "ClusterRoleBinding",
        *("Role", "RoleBinding") * 2,
    ]
    assert {(it["kind"], it["name"]) for o in objects[1::2] for it in o["subjects"]} == {subject}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mode", "isolate"], "did you mean isolated?"),
        (["--account", "tests"], "--account=tests: expected NAMESPACE:NAME"),
        (["--account", ":tests"], "expected NAMESPACE:NAME"),
    ],
)
def test_what_the_command_cannot_use(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    """One line."""
    assert main(["rbac", *arguments]) == 2
    assert message in capsys.readouterr().err

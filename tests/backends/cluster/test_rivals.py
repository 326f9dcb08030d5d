"""Objects for one host: in which order istiod takes them, and how that is kept in a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from pytest_egress.backends.cluster.applied import Applied
from pytest_egress.backends.cluster.layout import Placed
from pytest_egress.backends.cluster.rivals import contradictions, rivals
from pytest_egress.contract import loads


def entry(name: str, namespace: str, *export_to: str, hosts: str = "a.example.com") -> str:
    """A ServiceEntry; ``name`` may hold the time of its creation."""
    name, _, created = name.partition("@")
    stamp = f", creationTimestamp: '{created}'" if created else ""
    exported = f"exportTo: {list(export_to)}" if export_to else ""
    return f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}, namespace: {namespace}{stamp}}}
spec:
  hosts: [{hosts}]
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  resolution: DNS
  {exported}
---
"""


def _names(text: str, namespace: str = "shop") -> list[list[str]]:
    return [
        [f"{it.metadata.namespace}/{it.metadata.name}" for it in group]
        for group in rivals(loads(text), namespace)
    ]


def test_what_is_for_fewer_comes_first() -> None:
    """For the own namespace, for some by name, for all; among equals the older, then by name."""
    text = (
        entry("c", "other")
        + entry("b", "other", "shop")
        + entry("e", "shop")
        + entry("d@2026-01-01T00:00:00Z", "shop")
        + entry("z", "shop", ".")
        + entry("hidden", "other", ".")
        + entry("alone", "shop", hosts="b.example.com")
    )
    assert _names(text) == [["shop/z", "other/b", "shop/d", "other/c", "shop/e"]]
    assert _names(entry("a", "shop") + entry("b", "shop", "~")) == []


def test_rivals_through_others_are_one_group() -> None:
    """Their hosts overlap in a chain; case does not matter."""
    text = (
        entry("a", "shop", hosts="a.example.com")
        + entry("c", "shop", hosts="C.example.com, d.example.com")
        + entry("b", "shop", hosts="a.example.com, c.example.com")
    )
    assert _names(text) == [["shop/a", "shop/b", "shop/c"]]


def test_other_kinds() -> None:
    """VirtualServices as ServiceEntries; DestinationRules and Sidecars by their age."""
    answer = "http: [{directResponse: {status: 200}}]"
    text = entry("e", "shop") + "---".join(
        f"""
apiVersion: networking.istio.io/v1
kind: {kind}
metadata: {{name: {name}, namespace: shop}}
spec: {spec}
"""
        for kind, name, spec in (
            ("VirtualService", "a", f"{{hosts: [v.example], {answer}}}"),
            ("VirtualService", "b", f"{{hosts: [v.example], exportTo: [.], {answer}}}"),
            ("DestinationRule", "d", "{host: v.example, exportTo: [.]}"),
            ("DestinationRule", "c", "{host: v.example}"),
            ("Sidecar", "t", "{egress: [{hosts: ['*/*']}]}"),
            ("Sidecar", "s", "{workloadSelector: {labels: {a: b}}, egress: [{hosts: ['*/*']}]}"),
        )
    )
    assert _names(text) == [["shop/b", "shop/a"], ["shop/c", "shop/d"], ["shop/s", "shop/t"]]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (entry("a", "other") + entry("b", "shop"), 1),
        (entry("a", "other", "shop") + entry("b", "shop"), 1),
        (entry("a", "other") + entry("b", "shop", "."), 0),
        (entry("a", "shop") + entry("b", "other"), 0),
        (entry("a", "shop") + entry("b", "shop", "."), 0),
        (entry("a", "other", hosts="x.example") + entry("b", "shop"), 0),
    ],
)
def test_an_order_that_cannot_be_kept_is_refused(text: str, told: int) -> None:
    """What stands in the workload's namespace comes first in a cluster, whatever came before it."""
    problems = list(contradictions(loads(text, file="e.yaml"), "shop"))
    assert len(problems) == told
    for problem in problems:
        assert "other/a (e.yaml:4:" in problem.message
        assert problem.rule == "unsupported-on-cluster"


class Cluster:
    """An API server whose clock goes on by a second with every third object."""

    def __init__(self) -> None:
        self.objects: dict[str, str] = {}
        self._made = 0

    def create(self, path: str, body: Mapping[str, Any], doing: str) -> dict[str, Any]:
        """Make an object."""
        assert f"{path}/{body['metadata']['name']}" not in self.objects
        stamp = f"2026-01-01T00:00:{self._made // 3:02}Z"
        self._made += 1
        self.objects[f"{path}/{body['metadata']['name']}"] = stamp
        return {"metadata": {"creationTimestamp": stamp}}

    def delete(self, path: str, doing: str) -> None:
        """Remove an object."""
        del self.objects[path]


def test_rivals_are_created_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each in a second of its own; those that are there in their order stay as they are."""
    monkeypatch.setattr("pytest_egress.backends.cluster.applied._TICK", 0)
    cluster: Any = Cluster()
    applied = Applied(cluster, "run", revision="", keep=False, say=lambda _: None)
    group = [
        Placed(
            "serviceentries",
            "n",
            name,
            {"apiVersion": "networking.istio.io/v1", "kind": "K", "metadata": {"name": name}},
        )
        for name in "cab"
    ]
    assert not applied._in_turn(group)
    applied._put_in_turn(group)
    stamps = [cluster.objects[path] for path in cluster.objects]
    assert [path[-1] for path in cluster.objects] == ["c", "a", "b"]
    assert len(set(stamps)) == 3
    assert stamps == sorted(stamps)
    assert applied._in_turn(group)
    assert not applied._in_turn(group[::-1])
    applied._put_in_turn(group[::-1])
    assert [path[-1] for path in cluster.objects] == ["b", "a", "c"]
    assert applied._in_turn(group[::-1])

"""Finding the refused parts of a bootstrap, with a judge that is told what to refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pytest_egress.envoy.parts import (
    CLUSTERS,
    LISTENERS,
    Path,
    find_refused,
    part_at,
    parts,
    reduced,
)

Json = dict[str, Any]


def manager(hosts: dict[str, list[str]]) -> Json:
    """A chain that speaks HTTP: names of virtual hosts to names of their routes."""
    virtual_hosts = [
        {"name": name, "routes": [{"name": route} for route in routes]}
        for name, routes in hosts.items()
    ]
    return {
        "filters": [
            {"typed_config": {"route_config": {"name": "80", "virtual_hosts": virtual_hosts}}}
        ]
    }


def tcp(cluster: str) -> Json:
    """A chain that proxies bytes."""
    return {"name": cluster, "filters": [{"typed_config": {"cluster": cluster}}]}


BOOTSTRAP: Json = {
    "admin": {},
    "static_resources": {
        "clusters": [{"name": name} for name in ("one", "two", "three")],
        "listeners": [
            {
                "name": "80",
                "filter_chains": [tcp("a"), manager({"x": ["x1", "x2"], "y": ["y1"]})],
                "default_filter_chain": tcp("rest"),
            },
            {"name": "443", "filter_chains": [tcp("b")]},
        ],
    },
}


def refuses(*names: str, together: bool = False) -> Callable[[Json], str]:
    """A judge that refuses what has one of the names in it, or all of them together."""

    def ask(bootstrap: Json) -> str:
        found = [name for name in names if f"'{name}'" in str(bootstrap)]
        bad = len(found) == len(names) if together else bool(found)
        return f"no {found[-1]}" if bad else ""

    return ask


def test_parts_and_their_values() -> None:
    """Clusters first; each part with what it lies in."""
    paths = parts(BOOTSTRAP)
    assert paths[:3] == [(CLUSTERS, 0), (CLUSTERS, 1), (CLUSTERS, 2)]
    assert len(paths) == 3 + 3 + 2 + 3 + 1
    names = [item.get("name") for item in part_at(BOOTSTRAP, (LISTENERS, 0, 1, 0, 1))]
    assert names == ["80", None, "x", "x2"]
    assert part_at(BOOTSTRAP, (CLUSTERS, 2)) == ({"name": "three"},)


def test_everything_kept_is_the_whole() -> None:
    """Taking apart and putting together loses nothing."""
    assert reduced(BOOTSTRAP, parts(BOOTSTRAP)) == BOOTSTRAP


def test_a_listener_without_chains_is_left_out() -> None:
    """Envoy takes none such."""
    kept = reduced(BOOTSTRAP, [(LISTENERS, 0, 2)])["static_resources"]
    assert kept == {
        "clusters": [],
        "listeners": [
            {"name": "80", "filter_chains": [], "default_filter_chain": tcp("rest")},
        ],
    }
    assert reduced(BOOTSTRAP, [])["static_resources"]["listeners"] == []


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["two"], [(CLUSTERS, 1)]),
        (["a"], [(LISTENERS, 0, 0)]),
        (["rest"], [(LISTENERS, 0, 2)]),
        (["y"], [(LISTENERS, 0, 1, 1)]),
        (["x2"], [(LISTENERS, 0, 1, 0, 1)]),
        (["b"], [(LISTENERS, 1, 0)]),
        (["one", "x1", "y1", "b"],
         [(CLUSTERS, 0), (LISTENERS, 0, 1, 0, 0), (LISTENERS, 0, 1, 1, 0), (LISTENERS, 1, 0)]),
    ],
)  # fmt: skip
def test_each_refused_part_is_found(names: list[str], found: list[Path]) -> None:
    """Whatever it is a part of, with the words that are about it alone."""
    told = list(find_refused(BOOTSTRAP, refuses(*names), 10))
    assert told == [(path, f"no {name}") for path, name in zip(found, names, strict=True)]


def test_two_that_do_not_go_together() -> None:
    """The second one is told: the first was there."""
    ask = refuses("x1", "y1", together=True)
    assert [path for path, _ in find_refused(BOOTSTRAP, ask, 10)] == [(LISTENERS, 0, 1, 1, 0)]


def test_no_more_than_asked_for() -> None:
    """Each costs some runs of Envoy."""
    assert len(list(find_refused(BOOTSTRAP, refuses("one", "two", "three"), 2))) == 2


@pytest.mark.parametrize("answer", ["", "this Envoy refuses everything"])
def test_nothing_to_find(answer: str) -> None:
    """Envoy takes the whole after all, or does not even take the rest of the bootstrap."""
    assert list(find_refused(BOOTSTRAP, lambda _: answer, 10)) == []

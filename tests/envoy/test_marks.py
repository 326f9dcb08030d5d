"""The marks on routes and filter chains: complete, and nothing else changes."""

from __future__ import annotations

from typing import Any

from pytest_egress.envoy.marks import METADATA, MISSING_CLUSTER, Marks
from tests.envoy.build import by_name, compiled, entry, virtual_service

RULES = """{hosts: [a.example.com], http: [
    {match: [{uri: {prefix: /r}}], redirect: {uri: /x}},
    {match: [{uri: {prefix: /d}}], directResponse: {status: 200}},
    {match: [{uri: {prefix: /w}}], fault: {abort: {httpStatus: 500}}, route: [
        {destination: {host: a.example.com}, weight: 1},
        {destination: {host: c.example.com}, weight: 1}]},
    {route: [{destination: {host: d.example.com}}]}],
  tls: [{match: [{sniHosts: [a.example.com]}], route: [
        {destination: {host: c.example.com}, weight: 1},
        {destination: {host: d.example.com}, weight: 1}]}]}"""
PROGRAM = compiled(
    entry("a.example.com", "80/HTTP 443/TLS"),
    entry("b.example.com", "80/HTTP"),
    virtual_service(RULES),
)


def without_marks(value: Any) -> Any:
    """The value less all that marks add."""
    if isinstance(value, list):
        return [without_marks(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {
        key: without_marks(item)
        for key, item in value.items()
        if key not in {"metadata", MISSING_CLUSTER}
    }
    if kept.get("typed_per_filter_config") == {}:
        del kept["typed_per_filter_config"]
    return kept


def test_routes() -> None:
    """Each route of a rule names it, and what the proxy answers; others have no mark."""
    config = by_name(PROGRAM.routes, "80")
    marked = Marks(PROGRAM).routes(config)
    assert without_marks(marked) == config
    metadata = {
        host["name"]: [
            route.get("metadata", {}).get("filter_metadata", {}).get(METADATA)
            for route in host["routes"]
        ]
        for host in marked["virtual_hosts"]
    }
    assert metadata == {
        "a.example.com:80": [
            {"rule": "default/routes http[0]", "answer": "redirect"},
            {"rule": "default/routes http[1]", "answer": "direct_response"},
            {"rule": "default/routes http[2]"},
            {"rule": "default/routes http[3]"},
        ],
        "b.example.com:80": [None],
        "block_all": [None],
    }


def test_missing_clusters_of_routes() -> None:
    """A route, or the destination of one, tells its cluster where there is none such."""
    marks = Marks(PROGRAM)
    marked = marks.routes(by_name(PROGRAM.routes, "80"))
    routes = marked["virtual_hosts"][0]["routes"]

    def told(target: dict[str, Any]) -> str | None:
        setting = target.get("typed_per_filter_config", {}).get(MISSING_CLUSTER)
        if setting is None:
            return None
        (state,) = setting["on_request_headers"]
        return str(state["format_string"]["text_format_source"]["inline_string"])

    split = routes[2]["route"]["weighted_clusters"]["clusters"]
    assert [told(it) for it in split] == [None, "outbound|80||c.example.com"]
    assert "envoy.filters.http.fault" in routes[2]["typed_per_filter_config"]
    assert told(routes[3]) == "outbound|80||d.example.com"
    assert [it["name"] for it in marks.filters(marked)] == [MISSING_CLUSTER]


def test_chains() -> None:
    """A chain names its rule and the clusters that do not exist."""
    listener = by_name(PROGRAM.listeners, "0.0.0.0_443")
    marks = Marks(PROGRAM)
    chain = listener["filter_chains"][0]
    marked = marks.chain("0.0.0.0_443", 0, chain)
    assert without_marks(marked) == chain
    assert marked["metadata"]["filter_metadata"][METADATA] == {
        "rule": "default/routes tls[0]",
        "cluster": "outbound|443||c.example.com or outbound|443||d.example.com",
    }
    default = listener["default_filter_chain"]
    assert marks.chain("0.0.0.0_443", -1, default) == default


def test_nothing_to_mark() -> None:
    """Where no rule decides and every cluster exists, the program is taken as it is."""
    program = compiled(entry("a.example.com", "80/HTTP"))
    config = by_name(program.routes, "80")
    marks = Marks(program)
    assert marks.routes(config) is config
    assert marks.filters(config) == []

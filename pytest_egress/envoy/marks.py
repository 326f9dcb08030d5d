"""What is written on routes and filter chains so that records tell which of them decided.

Envoy's own operators name a cluster only once it has been found, and a route only where istiod
names it. Nothing here changes what becomes of a connection.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pytest_egress.envoy.program import Program

__all__ = ["METADATA", "MISSING_CLUSTER", "Marks", "marked", "named_clusters", "route_clusters"]

Json = dict[str, Any]

#: The key of filter metadata that holds the marks.
METADATA = "pytest_egress"
#: The filter, and the filter state, that tells the cluster a request was to go to.
MISSING_CLUSTER = "pytest_egress.missing_cluster"
_SET_FILTER_STATE = "type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config"
_ANSWERS = ("redirect", "direct_response")


class Marks:
    """The marks of one program.

    - ``listener`` and ``route_config``: the names of a listener, and of the route configuration of
      a filter chain that speaks HTTP; see `pytest_egress.envoy.instruments.access_log`;
    - ``ends_tls``: that a filter chain ends TLS itself;
    - ``rule``: the rule of a VirtualService that made a route or a filter chain;
    - ``answer``: what such a rule has the proxy answer itself, ``redirect`` or
      ``direct_response``;
    - ``cluster``: a cluster that does not exist, on a filter chain. For requests it is filter
      state, because of several destinations only the chosen one counts.
    """

    def __init__(self, program: Program) -> None:
        self._known = {cluster["name"] for cluster in program.clusters}
        self._route_rules = program.route_rules
        self._chain_rules = program.chain_rules

    def chain(self, listener: str, index: int, chain: Json) -> Json:
        """A filter chain of a listener, -1 being the default one, with its marks."""
        rule = self._chain_rules.get((listener, index))
        proxy = chain["filters"][-1]["typed_config"]
        missing = [it for it in named_clusters(proxy) if it not in self._known]
        marks = {"rule": str(rule) if rule else "", "cluster": " or ".join(missing)}
        return marked(chain, **marks)

    def routes(self, config: Json) -> Json:
        """A route configuration with its marks."""
        if not self._route_rules and self._known.issuperset(route_clusters(config)):
            return config
        hosts = [
            {
                **host,
                "routes": [
                    self._route(route, config["name"], host["name"], index)
                    for index, route in enumerate(host["routes"])
                ],
            }
            for host in config.get("virtual_hosts", ())
        ]
        return {**config, "virtual_hosts": hosts} if hosts else config

    def filters(self, config: Json) -> list[Json]:
        """The HTTP filter that tells a missing cluster, where ``config`` leads to one."""
        if self._known.issuperset(route_clusters(config)):
            return []
        return [{"name": MISSING_CLUSTER, "typed_config": {"@type": _SET_FILTER_STATE}}]

    def _route(self, route: Json, config: str, host: str, index: int) -> Json:
        told = route
        rule = self._route_rules.get((config, host, index))
        if rule is not None:
            answer = next((it for it in _ANSWERS if it in route), "")
            told = marked(route, rule=str(rule), answer=answer)
        action = route.get("route", {})
        if "cluster" in action:
            return self._naming(told, action["cluster"])
        weights = action.get("weighted_clusters", {}).get("clusters", ())
        if self._known.issuperset(it["name"] for it in weights):
            return told
        named = [self._naming(it, it["name"]) for it in weights]
        split = {**action["weighted_clusters"], "clusters": named}
        return {**told, "route": {**action, "weighted_clusters": split}}

    def _naming(self, target: Json, cluster: str) -> Json:
        """A route, or one of its destinations, that says its cluster where there is none such."""
        if cluster in self._known:
            return target
        state = {
            "object_key": MISSING_CLUSTER,
            "factory_key": "envoy.string",
            "format_string": {"text_format_source": {"inline_string": cluster}},
        }
        setting = {"@type": _SET_FILTER_STATE, "on_request_headers": [state]}
        others = target.get("typed_per_filter_config", {})
        return {**target, "typed_per_filter_config": {**others, MISSING_CLUSTER: setting}}


def route_clusters(config: Json) -> Iterator[str]:
    """Name the clusters that the routes of a configuration lead to."""
    for host in config.get("virtual_hosts", ()):
        for route in host.get("routes", ()):
            yield from named_clusters(route.get("route", {}))


def named_clusters(action: Json) -> Iterator[str]:
    """Name the clusters of a route's action or of a TCP proxy."""
    if "cluster" in action:
        yield action["cluster"]
    for weighted in action.get("weighted_clusters", {}).get("clusters", ()):
        yield weighted["name"]


def marked(target: Json, **marks: str) -> Json:
    """A listener, filter chain or route with these marks as well; empty ones are left out."""
    written = {name: text for name, text in marks.items() if text}
    if not written:
        return target
    metadata = target.get("metadata", {})
    filters = metadata.get("filter_metadata", {})
    known = filters.get(METADATA, {})
    filters = {**filters, METADATA: {**known, **written}}
    return {**target, "metadata": {**metadata, "filter_metadata": filters}}

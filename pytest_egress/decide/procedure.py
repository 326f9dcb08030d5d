"""The way of one call through a proxy: listener, filter chain, virtual host, route, cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pytest_egress.decide.call import Call
from pytest_egress.decide.chains import Listeners, choose_chain
from pytest_egress.decide.decision import Decision, Step, Verdict, Weighted
from pytest_egress.decide.texts import first_difference, name_rank, route_matches
from pytest_egress.envoy.program import Program

__all__ = ["Decider", "decide"]

_Json = Mapping[str, Any]
_FAULT = "envoy.filters.http.fault"
_SHOWN = 4
_DENOMINATORS = {"HUNDRED": 100, "TEN_THOUSAND": 10_000, "MILLION": 1_000_000}


def decide(program: Program, call: Call) -> Decision:
    """What the proxy that runs a program would do with one call: see `Decider.decide`."""
    return Decider(program).decide(call)


class Decider:
    """A program that is asked many times.

    Endpoints, name lookups and retries are not looked at: whether the upstream answers is not
    decided here.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self._listeners = Listeners(program.listeners)
        self._clusters = {it["name"]: it for it in program.clusters}
        self._routes = {it["name"]: it for it in program.routes}
        self._endpoints = {it["cluster_name"]: it for it in program.endpoints}
        self._domains: dict[int, _Domains] = {}

    def decide(self, call: Call) -> Decision:
        """What the proxy would do with one call.

        Raises:
            ProbeError: a regular expression has something that only Envoy knows.
            LookupError: nothing listens there (of a gateway; a sidecar takes everything).
        """
        listener, why = self._listeners.choose(call)
        name = listener["name"]
        steps = [Step("listener", name, why)]
        chain, index, why = choose_chain(listener, call)
        if chain is None:
            steps.append(Step("filter chain", "", why))
            return Decision("error", name, steps=tuple(steps))
        chain_name = chain.get("name", "")
        steps.append(Step("filter chain", chain_name, f"the default: {why}" if index < 0 else why))
        rule = self.program.chain_rules.get((name, index))
        terminal = chain["filters"][-1]["typed_config"]
        if terminal["@type"].endswith(".TcpProxy"):
            verdict, cluster, clusters = self._leads(terminal)
            steps.append(self._cluster_step(cluster, clusters))
            return Decision(
                verdict, name, chain_name, cluster=cluster, clusters=clusters, rule=rule,
                no_endpoints=self._is_empty(cluster), steps=tuple(steps),
            )  # fmt: skip
        if call.protocol == "tls" and call.inner == "http" and "transport_socket" in chain:
            call = replace(call, protocol="http")  # this proxy ends TLS itself
        if call.protocol != "http":
            what = "a TLS handshake" if call.protocol == "tls" else "something else"
            steps.append(Step("route", "", f"this chain reads HTTP and gets {what}"))
            return Decision("error", name, chain_name, rule=rule, steps=tuple(steps))
        return self._routed(call, terminal, (name, chain_name), steps)

    def cluster(self, name: str) -> _Json | None:
        """The cluster of that name; None where there is none."""
        return self._clusters.get(name)

    def assignment(self, name: str) -> _Json | None:
        """The endpoints of a cluster; None where it has none to list."""
        found = self._clusters.get(name, {})
        assignment: _Json | None = self._endpoints.get(name, found.get("load_assignment"))
        return assignment

    def route(self, decision: Decision) -> _Json | None:
        """The route that was chosen; None where there is none."""
        if decision.route_index < 0 or decision.route_config not in self._routes:
            return None
        hosts = self._routes[decision.route_config]["virtual_hosts"]
        host = next(it for it in hosts if it["name"] == decision.virtual_host)
        found: _Json = host["routes"][decision.route_index]
        return found

    def _routed(
        self, call: Call, manager: _Json, met: tuple[str, str], steps: list[Step]
    ) -> Decision:
        config, config_name = manager.get("route_config"), ""
        if config is None:
            config_name = manager["rds"]["route_config_name"]
            config = self._routes[config_name]
        if id(config) not in self._domains:
            self._domains[id(config)] = _Domains(config)
        host, why = self._domains[id(config)].choose(call.host)
        steps.append(Step("virtual host", host["name"] if host else "", why))
        if host is None:
            return Decision("no_route", *met, config_name, steps=tuple(steps))
        routes = host["routes"]
        index = next((i for i, it in enumerate(routes) if route_matches(it["match"], call)), None)
        if index is None:
            told = "; ".join(first_difference(it["match"], call) for it in routes[:_SHOWN])
            steps.append(Step("route", "", f"none matches: {told or 'it has none'}"))
            return Decision("no_route", *met, config_name, host["name"], steps=tuple(steps))
        route = routes[index]
        rule = self.program.route_rules.get((config_name, host["name"], index))
        name = route.get("name", "")
        steps.append(Step("route", name, _passed_over(routes, index, call)))
        fault = _fault(route.get("typed_per_filter_config", {}).get(_FAULT))

        def decided(verdict: Verdict, **more: Any) -> Decision:
            return Decision(
                verdict, *met, config_name, host["name"], name, index, fault=fault, rule=rule,
                steps=tuple(steps), **more,
            )  # fmt: skip

        if "redirect" in route:
            return decided("redirect")
        if "direct_response" in route:
            status = route["direct_response"]["status"]
            closed = host["name"] == "block_all"
            return decided("blocked" if closed else "direct_response", direct_response=status)
        verdict, cluster, clusters = self._leads(route["route"])
        steps.append(self._cluster_step(cluster, clusters))
        empty = self._is_empty(cluster)
        return decided(verdict, cluster=cluster, clusters=clusters, no_endpoints=empty)

    def _leads(self, action: _Json) -> tuple[Verdict, str, tuple[Weighted, ...]]:
        """Where a route or a TCP proxy leads; the first of several clusters decides the verdict."""
        if "cluster" in action:
            return self._verdict(action["cluster"]), action["cluster"], ()
        shared = tuple(
            Weighted(it["name"], it["weight"]) for it in action["weighted_clusters"]["clusters"]
        )
        return self._verdict(shared[0].cluster), "", shared

    def _verdict(self, cluster: str) -> Verdict:
        if cluster == "BlackHoleCluster":
            return "blocked"
        if cluster == "PassthroughCluster":
            return "passthrough"
        return "allowed" if cluster in self._clusters else "no_cluster"

    def _cluster_step(self, cluster: str, clusters: tuple[Weighted, ...]) -> Step:
        if not cluster:
            whole = sum(it.weight for it in clusters) or 1
            shares = ", ".join(f"{it.cluster} {it.weight / whole:.0%}" for it in clusters)
            return Step("cluster", "", f"shared: {shares}")
        found = self._clusters.get(cluster)
        if found is None:
            return Step("cluster", cluster, "there is no such cluster")
        if self._is_empty(cluster):
            return Step("cluster", cluster, "it has no endpoints: what comes to it fails")
        return Step("cluster", cluster, _connects(found))

    def _is_empty(self, cluster: str) -> bool:
        """Whether a declared cluster has endpoints to list, and lists none."""
        if cluster not in self._clusters or cluster == "BlackHoleCluster":
            return False
        assignment = self.assignment(cluster)
        return assignment is not None and not any(
            group.get("lb_endpoints") for group in assignment.get("endpoints", ())
        )


class _Domains:
    """The domains of a route configuration: exact ones, then the longest ``*suffix``, then ``*``.

    The port of Host is ignored where the configuration says so.
    """

    def __init__(self, config: _Json) -> None:
        self._ignores_port = config.get("ignore_port_in_host_matching", False)
        self._exact: dict[str, _Json] = {}
        self._suffixes: dict[str, _Json] = {}
        self._names: list[str] = []
        for host in config.get("virtual_hosts", ()):
            self._names.append(host["name"])
            for domain in host["domains"]:
                kept = self._suffixes if domain.startswith("*") else self._exact
                kept.setdefault(domain, host)

    def choose(self, host: str) -> tuple[_Json | None, str]:
        """The virtual host that takes a Host header, and why."""
        asked = host or "(none)"
        if self._ignores_port and host.rpartition(":")[2].isdigit():
            host = host.rpartition(":")[0].strip("[]")
        if host in self._exact:
            return self._exact[host], f"the Host {asked} is of its domains"
        fitting = [it for it in self._suffixes if it != "*" and name_rank(host, it)]
        if fitting:
            domain = max(fitting, key=len)
            return self._suffixes[domain], f"the Host {asked} is of its domain {domain}"
        rest = self._suffixes.get("*")
        if rest is None:
            return None, f"no domain takes the Host {asked}"
        others = [name for name in self._names if name != rest["name"]]
        shown = ", ".join(others[:_SHOWN]) + (" and more" if len(others) > _SHOWN else "")
        return rest, f"the Host {asked} is of no other ({shown or 'there is none'})"


def _connects(cluster: _Json) -> str:
    """Where a cluster connects to, in words."""
    if cluster["name"] == "BlackHoleCluster":
        return "it has no endpoints: what comes to it is dropped"
    custom = cluster.get("cluster_type", {}).get("name", "")
    if custom.endswith("dynamic_forward_proxy"):
        where = "the proxy looks up the name that the call itself carries"
    else:
        where = {
            "ORIGINAL_DST": "the proxy connects to the address that the application dialled",
            "STRICT_DNS": "the proxy looks the endpoints' names up itself",
            "LOGICAL_DNS": "the proxy looks the endpoint's name up itself",
            "EDS": "the proxy connects to the declared endpoints",
        }.get(cluster.get("type", "STATIC"), "the proxy connects to the declared endpoints")
    if "transport_socket" in cluster or "transport_socket_matches" in cluster:
        where += ", with TLS of its own"
    return where


def _passed_over(routes: list[_Json], index: int, call: Call) -> str:
    """Why it is this route."""
    before = [first_difference(it["match"], call) for it in routes[:index]]
    if not before:
        return "it is the first"
    shown = "; ".join(before[:_SHOWN])
    return f"the first that matches ({shown}{' ...' if len(before) > _SHOWN else ''})"


def _fault(config: _Json | None) -> str:
    """What a route's fault filter does, in words."""
    told = []
    for kind, what in (("abort", "http_status"), ("delay", "fixed_delay")):
        fault = (config or {}).get(kind)
        if fault is not None:
            share = fault.get("percentage", {})
            whole = _DENOMINATORS[share.get("denominator", "HUNDRED")]
            percent = 100 * share.get("numerator", 0) / whole
            told.append(f"{kind} {fault.get(what, '')} for {percent:.4g} %".replace("  ", " "))
    return ", ".join(told)

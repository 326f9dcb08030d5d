"""What a record of istiod's own proxy says, in the words of the contract."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pytest_egress.backends.cluster.layout import UNNAMED
from pytest_egress.envoy import Program
from pytest_egress.envoy.instruments import fields_of
from pytest_egress.envoy.marks import named_clusters

if TYPE_CHECKING:
    from pytest_egress.envoy.virtual_service.rule import Rule

__all__ = ["Reading"]

_CATCH_ALL = "virtualOutbound"
_SERVICE = re.compile(r"/namespaces/([^/]+)/virtual-?service/([^/]+)$")


class Reading:
    """Turns logged records into the fields of `Evidence`.

    The proxy's own configuration has no marks of ours: the listener follows from the original
    destination, as in Envoy; the VirtualService is in istiod's own metadata.

    Attributes:
        program: what istiod makes of the contract, as far as it is known here.
        listeners: the names of the listeners that the proxy has.
    """

    def __init__(self, program: Program) -> None:
        self.listeners: frozenset[str] = frozenset()
        self._routes: Mapping[str, str] = {}
        self._ending_tls: frozenset[str] = frozenset()
        self._namespaces: Mapping[str, str] = {}
        self.program = program
        self.use(program, (), {})

    def use(
        self, program: Program, listeners: Iterable[str], namespaces: Mapping[str, str]
    ) -> None:
        """Read records of another contract from now on.

        Args:
            program: what istiod makes of it.
            listeners: the proxy's.
            namespaces: those of the contract by their names in the cluster.
        """
        self.program = program
        self.listeners = frozenset(listeners)
        self._namespaces = namespaces
        self._routes = {it["name"]: _route_config(it) for it in program.listeners}
        self._ending_tls = frozenset(it["name"] for it in program.listeners if _ends_tls(it))

    def __call__(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of a logged record."""
        fields = fields_of({key: self._named(value) for key, value in record.items()})
        fields["listener"] = listener = self._listener(str(fields.get("destination") or ""))
        if fields["kind"] == "http":
            known = self._routes.get(listener, "")
            fields["route_config"] = known or listener.rpartition("_")[2]
        fields["rule"] = rule = self._rule(str(fields.get("rule") or ""), fields)
        if str(fields.get("route") or "").startswith(UNNAMED):
            fields["route"] = ""
        flags = str(fields.get("response_flags") or "").split(",")
        if listener in self._ending_tls and "NR" not in flags:  # with NR no filter chain took it
            fields["ends_tls"] = "yes"
        if "NC" in flags:
            fields["missing_cluster"] = self._missing(rule)
        if rule and fields.get("response_code_details") == "direct_response":
            redirect = 300 <= int(fields.get("response_code") or 0) < 400
            fields["answer"] = "redirect" if redirect else "direct_response"
        return fields

    def _named(self, value: Any) -> Any:
        """A text with the contract's own names of its namespaces."""
        if isinstance(value, str):
            for cluster, own in self._namespaces.items():
                value = value.replace(cluster, own)
        return value

    def _missing(self, rule: str) -> str:
        """The clusters that a rule leads to and that do not exist."""
        program = self.program
        known = {it["name"] for it in program.clusters}
        named = [
            name
            for config in program.routes
            for host in config.get("virtual_hosts", ())
            for index, route in enumerate(host.get("routes", ()))
            if str(program.route_rules.get((config["name"], host["name"], index))) == rule
            for name in named_clusters(route.get("route", {}))
        ]
        named += [
            name
            for listener in program.listeners
            for index, chain in enumerate(listener.get("filter_chains", ()))
            if str(program.chain_rules.get((listener["name"], index))) == rule
            for name in named_clusters(chain["filters"][-1]["typed_config"])
        ]
        return " or ".join(dict.fromkeys(it for it in named if it not in known))

    def _listener(self, destination: str) -> str:
        address, _, port = destination.rpartition(":")
        for name in (f"{address}_{port}", f"0.0.0.0_{port}"):
            if name in self.listeners:
                return name
        return _CATCH_ALL

    def _rule(self, config: str, fields: Mapping[str, Any]) -> str:
        """The rule of a VirtualService, as `Program.rule` knows it; its name if that is unclear."""
        found = _SERVICE.search(config)
        if found is None:
            return ""
        namespace = self._namespaces.get(found[1], found[1])
        program = self.program
        rules = [
            rule
            for rule in (*program.route_rules.values(), *program.chain_rules.values())
            if (rule.service.metadata.namespace, rule.service.metadata.name)
            == (namespace, found[2])
        ]
        route = str(fields.get("route") or "")
        for rule in rules:
            # The name of a match follows that of its rule.
            if _name(rule) in {route, route.rpartition(".")[0]}:
                return str(rule)
        texts = list(dict.fromkeys(map(str, rules)))
        return texts[0] if len(texts) == 1 else f"{namespace}/{found[2]}"


def _ends_tls(listener: Mapping[str, Any]) -> bool:
    """Whether every filter chain of a listener ends TLS itself."""
    chains = listener.get("filter_chains", ())
    return bool(chains) and all("transport_socket" in it for it in chains)


def _name(rule: Rule) -> str:
    """The name that a rule's routes have in the cluster."""
    if rule.kind != "http":
        return ""
    return rule.service.http[rule.index].name or f"{UNNAMED}{rule.index}"


def _route_config(listener: Mapping[str, Any]) -> str:
    """The route configuration that a listener's HTTP takes; empty without one."""
    for chain in (*listener.get("filter_chains", ()), listener.get("default_filter_chain", {})):
        for item in chain.get("filters", ()):
            rds = item.get("typed_config", {}).get("rds", {})
            if rds:
                return str(rds["route_config_name"])
    return ""

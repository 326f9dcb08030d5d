"""Whether the automatic checks of a contract hold, and where not, which fault of it is why.

A check that fails on a contract without such a fault would be a false finding of ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_network

from pytest_egress.backends.dns_proxy import AgentResolver
from pytest_egress.collection.checks import Check, plan
from pytest_egress.contract.allocation import allocate
from pytest_egress.contract.contract import Contract
from pytest_egress.contract.resources import OutboundTrafficPolicy, ServiceEntry, Workload
from pytest_egress.decide import Call, Decider, Decision
from pytest_egress.envoy import Program, compile_contract
from pytest_egress.envoy.name_table import Name
from pytest_egress.envoy.protocols import HTTP, SNIFFED, TLS, Protocol, parse_protocol
from pytest_egress.envoy.scope import build_scope
from pytest_egress.envoy.services import convert_services
from pytest_egress.probe import DnsAnswer, Target
from pytest_egress.report.nearest import matches
from tests.conformance.cases import Case, contract_of

__all__ = ["REASONS", "Failure", "Judge", "captures", "checks_of", "closed", "names_of"]

_UNKNOWN = "198.18.77.7"  # what a name without declared address resolves to here
# Of the proxy itself: istiod makes no outbound listener of these, or Envoy none.
_OWN_PORTS = {15001, 15006, 15021, 15090}

#: Every fault of a contract that makes a check fail. An operator wants to know of each.
REASONS = {
    "hidden": "the workload that could see it has a Sidecar, or another namespace's declaration",
    "twice": "the same host is declared twice: istiod merges the two, or drops one",
    "listener": "a listener of a Sidecar takes the port, for other hosts or in another protocol",
    "own port": "the port is one of the proxy's own",
    "rule": "a VirtualService leads it elsewhere, or nowhere",
    "port": "another declaration takes the port, or the address, with another protocol",
    "unsteady": "of its addresses istiod takes one, now this one and now that (lint/unsteady)",
    "capitals": "names are compared in lower case: capital letters of a host match none",
    "alone": "there is no endpoint to send a call to: STATIC, or a selector, that has none",
}


@dataclass(frozen=True, slots=True)
class Failure:
    """A check that does not hold.

    Attributes:
        told: what came instead.
        reason: the key of the contract's fault in `REASONS`; empty: there is none.
    """

    check: Check
    told: str
    reason: str


def captures(case: Case) -> bool:
    """Whether the pod of a case asks Istio's agent for names."""
    return (case.get("metadata") or {}).get("DNS_CAPTURE") == "true"


def closed(case: Case) -> Contract:
    """The contract of a case, in a mesh that refuses what nothing declares."""
    contract = contract_of(case)
    policy = OutboundTrafficPolicy("REGISTRY_ONLY")
    return replace(contract, mesh=replace(contract.mesh, outbound_traffic_policy=policy))


def checks_of(contract: Contract, *, dns_capture: bool) -> list[tuple[Workload, list[Check]]]:
    """The checks of a contract, by the workload that they are made from."""
    found: dict[tuple[str, tuple[tuple[str, str], ...]], tuple[Workload, list[Check]]] = {}
    for it in plan(contract, dns_capture=dns_capture):
        key = (it.workload.namespace, tuple(sorted(it.workload.labels.items())))
        found.setdefault(key, (it.workload, []))[1].append(it)
    return list(found.values())


class Judge:
    """Decides the checks of one workload over the configuration that its proxy is given.

    Args:
        contract: as `closed` gives it.
        workload: who asks.
        program: what istiod pushes to it; what we compile where it is not given.
    """

    def __init__(
        self, contract: Contract, workload: Workload, program: Program | None = None
    ) -> None:
        self._contract = allocate(contract) if workload.dns_capture else contract
        self._program = program or compile_contract(self._contract, workload)
        self._scope = build_scope(
            self._contract, workload, convert_services(self._contract, workload)
        )
        self._decider = Decider(self._program)
        self._agent = AgentResolver(self._program.names, workload.namespace, _Nobody())

    def failures(self, checks: list[Check]) -> Iterator[Failure]:
        """The checks that do not hold."""
        for check in checks:
            told, decision = self._met(check)
            if told:
                yield Failure(check, told, self._reason(check, decision))

    def _met(self, check: Check) -> tuple[str, Decision | None]:
        """What a check meets where it is not what is expected; empty where it is."""
        expectation = check.expectation
        if expectation.kind == "resolves":
            found = self._agent.lookup(expectation.target, 0, 1.0).addresses
            wanted = expectation.addresses or ()
            return ("" if set(found) == set(wanted) else f"{wanted} is answered by {found}"), None
        call = self._call(check)
        decision = self._decider.decide(call)
        wanted_verdict = "allowed" if expectation.kind == "reachable" else "blocked"
        cluster = ", ".join(decision.all_clusters)
        if decision.verdict != wanted_verdict:
            return f"{decision.verdict} {cluster or decision.virtual_host}", decision
        if wanted_verdict == "allowed":
            who = set(self._answering(decision, call))
            if not who:
                return f"{cluster} has no endpoints", decision
            if expectation.upstream is not None and not who <= set(expectation.upstream):
                return f"{cluster} leads to {sorted(who)}, not {expectation.upstream}", decision
        return "", decision

    def _call(self, check: Check) -> Call:
        expectation = check.expectation
        target, options = Target.parse(expectation.target), expectation.options
        protocol = {"tcp": "tcp", "http": "http", "grpc": "http"}.get(target.scheme, "tls")
        method = "POST" if target.scheme == "grpc" else "GET"
        return Call.from_json(
            {
                "address": options.get("address") or self._address(check, target.host),
                "port": target.port,
                "protocol": protocol,
                "host": target.host,
                "sni": options.get("sni", target.host) if protocol == "tls" else "",
                "path": target.path,
                "method": options.get("method", method),
                "headers": dict(options.get("headers", ())),
            }
        )

    def _address(self, check: Check, name: str) -> str:
        """Where the pod's lookup leads: an address that is declared stands in the zone of it."""
        if found := self._agent.lookup(name, 0, 1.0).addresses:
            return found[0]
        if name.endswith(check.host.lower().removesuffix(".").lstrip("*")):
            for value in check.entry.addresses:
                network = ip_network(value, strict=False)
                if network.version == 4 and not name.startswith("not-"):
                    return str(network[0] if network.num_addresses == 1 else network[1])
        return _UNKNOWN

    def _answering(self, decision: Decision, call: Call) -> Iterator[str]:
        """Who may answer: names that are looked up, addresses that are connected to."""
        for name in decision.all_clusters:
            cluster = self._decider.cluster(name) or {}
            if "cluster_type" in cluster:
                yield call.host or call.sni
            elif cluster.get("type") == "ORIGINAL_DST":
                yield call.address
            assignment = self._decider.assignment(name) or {}
            for group in assignment.get("endpoints", ()):
                for endpoint in group.get("lb_endpoints", ()):
                    address = endpoint["endpoint"]["address"]
                    yield address.get("socket_address", address.get("pipe", {})).get(
                        "address", "a socket"
                    )

    def _reason(self, check: Check, decision: Decision | None) -> str:
        entry = check.entry
        reaching = check.expectation.kind != "blocked"
        addresses = self._addresses(check)
        if reaching and not addresses:
            return "hidden"
        others = [it for it in self._contract.service_entries if not _is(it, entry)]
        if any(check.host.lower() in map(str.lower, it.hosts) for it in others):
            return "twice"
        if reaching and len(addresses) < len(set(entry.addresses)):
            return "unsteady"
        if decision is None:
            return ""
        if reaching and check.port in _OWN_PORTS:
            return "own port"
        if reaching and self._is_taken(check.port):
            return "listener"
        if decision.rule is not None or self._is_ruled(check.host):
            return "rule"
        protocol = parse_protocol(check.protocol.removeprefix("?"))
        if reaching and check.host != check.host.lower():
            return "capitals"
        if any(_takes(it, entry, check.port, protocol) for it in others):
            return "port"
        if reaching and not entry.endpoints and entry.resolution != "NONE":
            alone = decision.no_endpoints or entry.workload_selector is not None
            return "alone" if alone else ""
        return ""

    def _is_taken(self, port: int) -> bool:
        """Whether a Sidecar of the workload has a listener of its own on the port."""
        return any(
            it.listener.port is not None and it.listener.port.number == port
            for it in self._scope.egress
        )

    def _is_ruled(self, host: str) -> bool:
        """Whether a VirtualService is for a host, or for names of it: it takes their place."""
        return any(
            matches(host, it) or matches(it, host)
            for rule in self._contract.virtual_services
            for it in rule.hosts
        )

    def _addresses(self, check: Check) -> set[str]:
        """The addresses by which the workload sees the host of the entry."""
        return {
            service.address
            for egress in self._scope.egress
            for service in egress.services
            if service.host == check.host and _is(service.entry, check.entry)
        }


class _Nobody:
    """A name server that knows no name."""

    def lookup(self, name: str, family: int, timeout: float) -> DnsAnswer:
        """NXDOMAIN."""
        return DnsAnswer(name, "NXDOMAIN", (), (), None)


def _is(one: ServiceEntry, other: ServiceEntry) -> bool:
    """Whether two are one, with and without allocated addresses."""
    return one.at("metadata", "name") == other.at("metadata", "name")


def _takes(other: ServiceEntry, entry: ServiceEntry, port: int, protocol: Protocol) -> bool:
    """Whether another entry's port gets in the way: the same number in another protocol."""
    kinds = [_kind(parse_protocol(it.protocol)) for it in other.ports if it.number == port]
    if not kinds:
        return False
    if any(kind in {"tcp", "any"} or kind != _kind(protocol) for kind in kinds):
        return True
    return any(
        ip_network(one, strict=False).overlaps(ip_network(two, strict=False))
        for one in other.addresses
        for two in entry.addresses
        if ip_network(one, strict=False).version == ip_network(two, strict=False).version
    )


def _kind(protocol: Protocol) -> str:
    if protocol in HTTP:
        return "http"
    return "tls" if protocol in TLS else "any" if protocol == SNIFFED else "tcp"


def names_of(table: Mapping[str, object]) -> Mapping[str, Name]:
    """The name table, as istiod says it."""
    found = {}
    for host, info in table.items():
        assert isinstance(info, dict)
        short = (info["shortname"], info["namespace"]) if info["registry"] == "Kubernetes" else ()
        found[host] = Name(tuple(info.get("ips", ())), short)
    return found

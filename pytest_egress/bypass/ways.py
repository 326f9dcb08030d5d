"""The ways around a sidecar, tried: past the proxy by the rules, through it by real probes."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from pytest_egress.bypass.annotations import Annotations, annotations_of, redirection
from pytest_egress.bypass.bypass import WAYS, Bypass
from pytest_egress.bypass.redirection import PROXY_USER, RESOLVER, Packet, Redirection, decide
from pytest_egress.contract.contract import Contract
from pytest_egress.egress import Egress
from pytest_egress.outcome import Outcome
from pytest_egress.probe import Target
from pytest_egress.verdict import Verdict

__all__ = ["Observe", "find"]

#: Sends packets under a redirection and says where each arrived; None where that is impossible.
Observe = Callable[[Redirection, Sequence[Packet]], "Sequence[str] | None"]

_ADDRESS = re.compile(r"\d+(?:\.\d+){3}(?:/\d+)?")  # no name, and nothing of IPv6
_ELSEWHERE = "elsewhere.pytest-egress.invalid"
_BELOW = "egress-bypass"
_MOST_TARGETS = 25  # of a contract that is not asked for by name
_STRANGERS = ("203.0.113.66", "198.51.100.66", "192.0.2.66")  # RFC 5737
_SCHEMES = {"HTTPS": "https", "TLS": "tls", "HTTP": "http", "HTTP2": "http", "GRPC": "http"}


def find(
    pod: Egress, targets: Sequence[str], annotations: Mapping[str, str] | None, observe: Observe
) -> Iterator[Bypass]:
    """Try every way from a pod; nothing of it is among the pod's own outcomes.

    Args:
        pod: the pod, as a test has it.
        targets: URLs of declared hosts; none: those of the contract, the first 25.
        annotations: of the pod; None: those of the contract's pods that are the workload.
        observe: sends packets in a namespace.

    Raises:
        AnnotationError: an annotation cannot be read.
        ProbeError: a URL is wrong.
    """
    contract, workload = pod.contract, pod.workload
    if annotations is not None:
        pods = [Annotations("", annotations, lambda _: None)]
    else:
        pods = list(annotations_of(contract, workload)) or [Annotations("", {}, lambda _: None)]
    for own in pods:
        yield from _around(redirection(own, dns_capture=workload.dns_capture), own.pod, observe)
    quiet = Egress(pod.backend, contract, workload)
    stranger = _stranger(contract)
    found: dict[tuple[str, str], Bypass] = {}
    for url in targets or list(_targets(contract))[:_MOST_TARGETS]:
        for it in _through(quiet, Target.parse(url), stranger):
            found.setdefault((it.way, it.target), it)
    yield from found.values()


def _around(asked: Redirection, pod: str, observe: Observe) -> Iterator[Bypass]:
    """What never meets the proxy, by the rules and, where it can be had, by the kernel."""
    of = f" (pod {pod})" if pod else ""
    if asked.none:
        yield Bypass("no-sidecar", "tcp://any:443", True, "rules", f"{asked.none}{of}",
                     WAYS["no-sidecar"], None)  # fmt: skip
        return
    tried = list(_packets(asked))
    rules = asked.rules()
    control = Packet("tcp", _STRANGERS[0], 443)  # what a rule does is believed if this fits too
    seen = observe(asked, [*(packet for _, packet in tried), control])
    for index, (way, packet) in enumerate(tried):
        target, rule = decide(rules, packet)
        shown = "rules" if seen is None else "kernel"
        if seen is not None and (seen[index], seen[-1]) != (target, decide(rules, control)[0]):
            reason = f"the rules say {target or 'past it'!r}, the kernel did {seen[index]!r}"
            yield Bypass(way, _named(packet), None, shown, f"{reason}{of}", WAYS[way])
            continue
        if target:
            what = "Istio's agent" if target == "agent" else "the sidecar"
            reason = f"it is redirected to {what}"
        elif rule is not None:
            reason = f"it does not meet the sidecar: {rule.why}"
        elif packet.protocol == "udp":
            reason = "it does not meet the sidecar: istio-iptables redirects TCP alone"
        else:
            reason = "it does not meet the sidecar: includeOutboundIPRanges leaves it out"
        position = rule.position if rule is not None else None
        if way == "not-included":
            position = asked.positions.get("includeOutboundIPRanges")
        yield Bypass(way, _named(packet), not target, shown, f"{reason}{of}", WAYS[way],
                     position)  # fmt: skip


def _named(packet: Packet) -> str:
    user = f" (user {PROXY_USER})" if packet.user == PROXY_USER else ""
    return f"{packet}{user}"


def _packets(asked: Redirection) -> Iterator[tuple[str, Packet]]:
    stranger = _STRANGERS[0]
    yield "udp-443", Packet("udp", stranger, 443)
    yield "udp-53", Packet("udp", stranger, 53)
    if asked.dns_capture:
        yield "udp-53", Packet("udp", RESOLVER, 53)
    yield "user-1337", Packet("tcp", stranger, 443, PROXY_USER)
    for port in asked.exclude_ports:
        yield "excluded-port", Packet("tcp", stranger, port)
    for network in asked.exclude_ranges:
        yield "excluded-range", Packet("tcp", str(network[min(1, network.num_addresses - 1)]), 443)
    if asked.include_ranges is not None:
        outside = next(
            (it for it in _STRANGERS
             if not any(ipaddress.ip_address(it) in network for network in asked.include_ranges)),
            "",
        )  # fmt: skip
        port = next(it for it in (443, 8443, 9443) if it not in asked.include_ports)
        if outside:
            yield "not-included", Packet("tcp", outside, port)


def _through(pod: Egress, target: Target, stranger: str) -> Iterator[Bypass]:
    """What meets the proxy and may be led past what the contract means."""
    url, secure = str(target), target.scheme in {"https", "tls", "grpcs"}
    raw = f"{'tls' if secure else target.scheme}://{stranger}:{target.port}"
    outcome = pod.probe(raw, **({"sni": ""} if secure else {}))
    yield _led_astray("raw-address", raw, outcome, stranger)
    if target.scheme != "tcp":
        outcome = pod.probe(url, address=stranger)
        yield _led_astray("other-address", f"{url} at {stranger}", outcome, stranger)
    if target.scheme == "https":
        yield _inner_host(url, pod.probe(url, host_header=_ELSEWHERE))


def _led_astray(way: str, tried: str, outcome: Outcome, stranger: str) -> Bypass:
    """Whether a call came to an address that nothing declares."""
    place = outcome.declared_by[0] if outcome.declared_by else None
    dialled = str(outcome.upstream.address)
    found: bool | None = outcome.verdict is Verdict.UNDECLARED or dialled == stranger
    if outcome.verdict is Verdict.INCONCLUSIVE:
        found, reason = None, outcome.reason
    elif found:
        reason = f"{outcome.cluster} dialled {stranger}, which nothing declares"
    elif outcome.verdict is Verdict.BLOCKED:
        reason = "the mesh refused it"
    elif outcome.verdict is Verdict.REACHABLE:
        reason = f"{outcome.cluster} dialled what it has, {outcome.upstream}, and not {stranger}"
    else:
        reason = outcome.reason
    return Bypass(way, tried, found, "proxy", reason, WAYS[way], place if found else None)


def _inner_host(url: str, outcome: Outcome) -> Bypass:
    evidence = outcome.evidence
    tried = f"{url} with Host {_ELSEWHERE}"
    place = outcome.declared_by[0] if outcome.declared_by else None
    if outcome.verdict is Verdict.INCONCLUSIVE or evidence is None:
        return Bypass("inner-host", tried, None, "proxy", outcome.reason, WAYS["inner-host"])
    blind = outcome.verdict is Verdict.REACHABLE and evidence.kind != "http"
    reason = (
        "the proxy passes TLS on by its server name; the Host within is not seen, and whoever "
        "serves many names behind that address may answer for another"
        if blind
        else "the Host is seen, or nothing was let through"
    )
    return Bypass(
        "inner-host", tried, blind, "proxy", reason, WAYS["inner-host"], place if blind else None
    )


def _targets(contract: Contract) -> Iterator[str]:
    """A URL for each host and port that is declared; for a wildcard a name below it."""
    urls: dict[str, None] = {}
    for entry in contract.service_entries:
        for host in entry.hosts:
            name = host.replace("*", _BELOW, 1)
            for port in entry.ports:
                scheme = _SCHEMES.get(port.protocol.upper(), "tcp")
                urls[f"{scheme}://{name}:{port.number}"] = None
    yield from urls


def _stranger(contract: Contract) -> str:
    """An address for documentation that the contract does not speak of."""
    spoken: list[str] = []
    for entry in contract.service_entries:
        spoken += [*entry.addresses, *(it.address for it in entry.endpoints)]
    return next((it for it in _STRANGERS if not _within(it, spoken)), _STRANGERS[-1])


def _within(address: str, spoken: Iterable[str]) -> bool:
    return any(
        ipaddress.ip_address(address) in ipaddress.ip_network(text, strict=False)
        for text in spoken
        if _ADDRESS.fullmatch(text)
    )

"""The ServiceEntries that a run needs, written from what it called without them."""

from __future__ import annotations

import ipaddress
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from pytest_egress.report.facts import Fact

__all__ = ["Entry", "entries_for", "sidecar_yaml", "to_yaml"]

_WIDE = 3  # hosts below one domain on the same ports, from which on a wildcard is suggested
_MOST_TESTS = 5
_PROTOCOLS = {"tls": "TLS", "http": "HTTP", "http2": "HTTP2", "tcp": "TCP"}
_SIMULATED = ipaddress.ip_network("198.18.0.0/15")  # RFC 2544: where simulated names resolve to
# Second-level domains under which anybody may register: their owner is one label further down.
_SHARED = frozenset({"ac", "co", "com", "edu", "gov", "net", "ne", "or", "org"})
_BOOLEANS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
# A dot keeps it from being read as a boolean, a letter from being read as a number.
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9-]*(?:\.[A-Za-z0-9-]+)+")


@dataclass(frozen=True, slots=True)
class Entry:
    """One ServiceEntry to be written.

    Attributes:
        name: its metadata.name.
        hosts: in alphabetical order.
        ports: (number, protocol) in order.
        addresses: of TCP, which has no name on the wire.
        tests: those that need it, each with the hosts it called.
        notes: what the reader has to look at.
    """

    name: str
    hosts: tuple[str, ...]
    ports: tuple[tuple[int, str], ...]
    addresses: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())


def entries_for(facts: Iterable[Fact], taken: Iterable[str] = ()) -> list[Entry]:
    """The minimal entries for what nothing declared, in a stable order.

    Hosts of one owner domain that need the same ports share an entry. The protocol is what was
    seen: TLS by its handshake, HTTP by its requests, else TCP, with the address that was dialled.
    Never a wildcard: that is suggested in a note.

    Args:
        facts: what was called.
        taken: names that entries of the contract have already.
    """
    ports: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    addresses: dict[str, set[str]] = defaultdict(set)
    tests: dict[str, dict[str, None]] = defaultdict(dict)
    for fact in facts:
        if not fact.undeclared or fact.protocol not in _PROTOCOLS:
            continue
        ports[fact.host][fact.port].add(fact.protocol)
        if fact.address:
            addresses[fact.host].add(fact.address)
        tests[fact.host][fact.test] = None
    grouped: dict[tuple[str, tuple[tuple[int, str], ...], str], list[str]] = defaultdict(list)
    for host, seen in sorted(ports.items()):
        routed: list[tuple[int, str]] = []
        raw: list[tuple[int, str]] = []
        for number, protocols in sorted(seen.items()):
            protocol = _one_of(protocols)
            (raw if protocol == "TCP" or _is_address(host) else routed).append((number, protocol))
        if routed:
            grouped[_owner(host), tuple(routed), ""].append(host)
        if raw:
            grouped[_owner(host), tuple(raw), host].append(host)
    names = set(taken)
    entries = []
    for (owner, needed, alone), hosts in sorted(grouped.items()):
        found = tuple(sorted(addresses[alone], key=_address_key)) if alone else ()
        entries.append(
            Entry(
                _free_name(_name(alone or owner, bool(alone)), names),
                tuple(hosts),
                needed,
                found,
                tuple(dict.fromkeys(test for host in hosts for test in tests[host])),
                tuple(_notes(owner, hosts, needed, found)),
            )
        )
    return entries


def to_yaml(entries: Iterable[Entry]) -> str:
    """The documents as text, separated by ``---``."""
    return "---\n".join(_document(entry) for entry in entries)


def sidecar_yaml(hosts: Iterable[str]) -> str:
    """A Sidecar that shows a workload these hosts alone, and closes the rest."""
    lines = [
        "apiVersion: networking.istio.io/v1",
        "kind: Sidecar",
        "metadata:",
        "  name: default",
        "spec:",
        "  outboundTrafficPolicy:",
        "    mode: REGISTRY_ONLY",
        "  egress:",
        "    - hosts:",
        *(f"        - {_scalar(f'*/{host}')}" for host in sorted(set(hosts))),
    ]
    return "\n".join(lines) + "\n"


def _document(entry: Entry) -> str:
    lines = [f"# needed by {test}" for test in entry.tests[:_MOST_TESTS]]
    if len(entry.tests) > _MOST_TESTS:
        lines.append(f"# and {len(entry.tests) - _MOST_TESTS} more")
    lines += [f"# {note}" for note in entry.notes]
    lines += [
        "apiVersion: networking.istio.io/v1",
        "kind: ServiceEntry",
        "metadata:",
        f"  name: {_label(entry.name)}",
        "spec:",
        "  hosts:",
        *(f"    - {_scalar(host)}" for host in map(_host_name, entry.hosts)),
    ]
    if entry.addresses:
        lines += ["  addresses:", *(f"    - {_scalar(it)}" for it in entry.addresses)]
    lines += ["  location: MESH_EXTERNAL", "  ports:"]
    for number, protocol in entry.ports:
        lines += [
            f"    - number: {number}",
            f"      name: {protocol.lower()}-{number}",
            f"      protocol: {protocol}",
        ]
    if all(map(_is_address, entry.hosts)):
        lines += ["  resolution: STATIC", "  endpoints:"]
        lines += [f"    - address: {_scalar(it)}" for it in entry.addresses]
    else:
        lines.append("  resolution: DNS")
    return "\n".join(lines) + "\n"


def _one_of(protocols: set[str]) -> str:
    """One protocol for a port; where several were spoken only bytes are common to them."""
    return _PROTOCOLS[next(iter(protocols))] if len(protocols) == 1 else "TCP"


def _notes(
    owner: str,
    hosts: list[str],
    ports: tuple[tuple[int, str], ...],
    addresses: tuple[str, ...],
) -> Iterator[str]:
    below = [host for host in hosts if host.endswith(f".{owner}")]
    if len(below) >= _WIDE:
        yield f"{len(below)} hosts below {owner}: *.{owner} would stand for all of them, and more"
    if any(protocol == "TCP" for _, protocol in ports):
        simulated = [it for it in addresses if ipaddress.ip_address(it) in _SIMULATED]
        if simulated:
            yield f"{', '.join(simulated)} is simulated: put the host's real address here"
        else:
            yield "TCP carries no name: the address decides"


def _owner(host: str) -> str:
    if _is_address(host):
        return host
    labels = host.split(".")
    shared = len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in _SHARED
    return ".".join(labels[-3 if shared else -2 :])


def _name(text: str, raw: bool) -> str:
    name = text.replace(".", "-").replace(":", "-").strip("-")
    if _is_address(text):
        return f"address-{name}"
    return f"{name}-tcp" if raw else name


def _free_name(name: str, names: set[str]) -> str:
    """The name, numbered where it is taken; it is taken from then on."""
    free, number = name, 1
    while free in names:
        number += 1
        free = f"{name}-{number}"
    names.add(free)
    return free


def _host_name(host: str) -> str:
    """A host for an entry: an address is none, and gets a name that stands for it."""
    return f"{_name(host, raw=False)}.invalid" if _is_address(host) else host


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _address_key(text: str) -> tuple[int, int]:
    address = ipaddress.ip_address(text)
    return address.version, int(address)


def _label(text: str) -> str:
    """A name; one that YAML 1.1 takes for a boolean, as Kubernetes reads it, in quotes."""
    return json.dumps(text) if text in _BOOLEANS else text


def _scalar(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else json.dumps(text)

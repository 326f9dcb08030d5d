"""Istio's rules tried in the kernel: packets are sent in namespaces that have them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from pytest_egress.bypass.redirection import AGENT, PROXY, Packet, Redirection

__all__ = ["observe"]

_ROOT = str(Path(__file__).resolve().parents[2])
_INSIDE = (
    f"import sys; sys.path.insert(0, {_ROOT!r}); "
    "from pytest_egress.bypass.inside import main; main()"
)
_PORTS = {"proxy": PROXY, "agent": AGENT, "": 0}
_TIMEOUT = 60.0  # seconds; it takes a tenth of one


def observe(asked: Redirection, packets: Sequence[Packet]) -> list[str] | None:
    """Send packets under the rules of a redirection.

    Returns:
        For each ``proxy``, ``agent``, or an empty text where it met neither; None where the
        system has no such namespaces (they are Linux's, and may be forbidden).
    """
    if not sys.platform.startswith("linux"):
        return None
    found: dict[int, str] = {}
    for user in dict.fromkeys(packet.user for packet in packets):
        mine = [i for i, packet in enumerate(packets) if packet.user == user]
        seen = _ask(user, asked, [packets[i] for i in mine])
        if seen is None:
            return None
        found.update(zip(mine, seen, strict=True))
    return [found[i] for i in range(len(packets))]


def _ask(user: int, asked: Redirection, packets: list[Packet]) -> list[str] | None:
    question = {
        "user": user,
        "rules": list(_rules(asked)),
        "packets": [(it.protocol, it.address, it.port) for it in packets],
    }
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-I", "-S", "-c", _INSIDE, json.dumps(question)],
        capture_output=True,
        text=True,
        timeout=_TIMEOUT,
        check=False,
    )
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        return None
    return answer if isinstance(answer, list) else None


def _rules(asked: Redirection) -> Iterator[tuple[int, str, int, str, int, int]]:
    """The fields of `NatRule`."""
    for rule in asked.rules():
        network = rule.network
        yield (
            _PORTS[rule.target],
            rule.protocol,
            rule.port,
            str(network.network_address) if network is not None else "",
            network.prefixlen if network is not None else 0,
            -1 if rule.user is None else rule.user,
        )

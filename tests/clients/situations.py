"""Where the matrix's calls go: one host for each thing that can happen to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pytest_egress.upstream import Upstreams
from pytest_egress.verdict import Verdict

__all__ = ["CONTRACT", "DATABASES", "WEB", "Situation", "script"]

# Seconds that a client waits for a slow server. A loaded machine makes the connection and its TLS
# within: what a library raises depends on which of them it was waiting for.
_SHORT = 3.0
_NAMES = ("up", "dead", "slow", "wrong", "gone")
_DATABASES = (*(f"{name}.db.example.com" for name in _NAMES), "secure.example")
CONTRACT = f"""\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: web}}
spec:
  hosts: [{", ".join(f"{name}.example.com" for name in _NAMES)}]
  location: MESH_EXTERNAL
  resolution: DNS
  ports:
  - {{number: 80, name: http, protocol: HTTP}}
  - {{number: 443, name: https, protocol: HTTPS}}
  - {{number: 50051, name: grpc, protocol: GRPC}}
""" + "".join(
    f"""\
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: database-{number}}}
spec:
  hosts: [{host}]
  addresses: [203.0.113.{number}]
  location: MESH_EXTERNAL
  resolution: DNS
  ports:
  - {{number: 5432, name: tcp-postgres, protocol: TCP}}
  - {{number: 6379, name: tcp-redis, protocol: TCP}}
  - {{number: 27017, name: tcp-mongo, protocol: TCP}}
"""
    for number, host in enumerate(_DATABASES, 1)
)


@dataclass(frozen=True, slots=True)
class Situation:
    """What happens to a call.

    Attributes:
        scheme: how it is made.
        host: where it goes.
        verdict: what the call log says of it.
        policy: the mesh's outbound traffic policy.
        timeout: seconds that the client waits.
    """

    scheme: str
    host: str
    verdict: Verdict
    policy: Literal["REGISTRY_ONLY", "ALLOW_ANY"] = "REGISTRY_ONLY"
    timeout: float = 20.0


def _web(scheme: str) -> dict[str, Situation]:
    # An open mesh lets the proxy look into plain HTTP alone: of TLS, and of TCP below, it is the
    # connection that is judged, and a slow server has accepted that.
    slow = Verdict.UNREACHABLE if scheme == "http" else Verdict.REACHABLE
    return {
        f"{scheme} reachable": Situation(scheme, "up.example.com", Verdict.REACHABLE),
        f"{scheme} blocked": Situation(scheme, "evil.example", Verdict.BLOCKED),
        f"{scheme} undeclared": Situation(scheme, "evil.example", Verdict.UNDECLARED, "ALLOW_ANY"),
        f"{scheme} dead": Situation(scheme, "dead.example.com", Verdict.UNREACHABLE),
        f"{scheme} slow": Situation(scheme, "slow.example.com", slow, timeout=_SHORT),
        f"{scheme} unresolved": Situation(scheme, "gone.example.com", Verdict.UNRESOLVED),
    }


#: The situations of HTTP clients.
WEB: Mapping[str, Situation] = {
    **_web("http"),
    **_web("https"),
    "https wrong-name": Situation("https", "wrong.example.com", Verdict.UNREACHABLE),
}
#: The situations of database clients.
DATABASES: Mapping[str, Situation] = {
    "reachable": Situation("tcp", "up.db.example.com", Verdict.REACHABLE),
    "tls": Situation("tls", "secure.example", Verdict.REACHABLE),
    "blocked": Situation("tcp", "evil.example", Verdict.BLOCKED),
    "undeclared": Situation("tcp", "evil.example", Verdict.UNDECLARED, "ALLOW_ANY"),
    "dead": Situation("tcp", "dead.db.example.com", Verdict.UNREACHABLE),
    "slow": Situation("tcp", "slow.db.example.com", Verdict.REACHABLE, timeout=_SHORT),
    "wrong-name": Situation("tls", "wrong.db.example.com", Verdict.UNREACHABLE),
    "unresolved": Situation("tcp", "gone.db.example.com", Verdict.UNRESOLVED),
}


def script(upstreams: Upstreams) -> None:
    """Have each host do what its name says."""
    for domain in ("example.com", "db.example.com"):
        upstreams[f"dead.{domain}"].refuse()
        upstreams[f"gone.{domain}"].nxdomain()
    upstreams["slow.example.com"].delay(30)
    upstreams["slow.db.example.com"].silent()
    upstreams["wrong.example.com"].certificate("wrong-name")

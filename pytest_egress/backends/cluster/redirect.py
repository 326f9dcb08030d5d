"""The netfilter rules of a test pod in simulation: what the proxy dials goes to the agent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = ["OUTSIDE_PORTS", "RULES", "redirect", "redirecting", "rules", "rules_volume"]

Json = dict[str, Any]

#: Where the proxy's connections are led to. Connection tracking gives one of two from the same port
#: another port of these, and leaves the source port, which ties it to the proxy's record, as it is.
OUTSIDE_PORTS = range(15070, 15086)  # Istio leaves them free
#: The annotation that holds the rules.
RULES = "pytest-egress/rules"
_PROXY_UID = 1337


def rules(istiod: Iterable[str], discovery_port: int, name_server: str) -> str:
    """What iptables-restore reads: the proxy's connections lead to the agent, nothing leaves."""
    kept = [f"-p tcp -d {ip}/32 --dport {discovery_port}" for ip in istiod]
    if name_server:
        kept += [f"-p {protocol} -d {name_server}/32 --dport 53" for protocol in ("udp", "tcp")]
    ports = f"{OUTSIDE_PORTS[0]}-{OUTSIDE_PORTS[-1]}"
    return "\n".join(
        [
            "*nat",
            ":EGRESS_OUTSIDE - [0:0]",
            f"-I OUTPUT 1 -p tcp -m owner --uid-owner {_PROXY_UID} -j EGRESS_OUTSIDE",
            "-A EGRESS_OUTSIDE -o lo -j RETURN",
            *(f"-A EGRESS_OUTSIDE {it} -j RETURN" for it in kept if it.startswith("-p tcp")),
            f"-A EGRESS_OUTSIDE -p tcp -j REDIRECT --to-ports {ports}",
            "COMMIT",
            "*filter",
            ":EGRESS_CLOSED - [0:0]",
            "-I OUTPUT 1 -j EGRESS_CLOSED",
            "-A EGRESS_CLOSED -o lo -j RETURN",
            # What has been redirected still has the interface here that it was meant for.
            "-A EGRESS_CLOSED -d 127.0.0.0/8 -j RETURN",
            "-A EGRESS_CLOSED -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN",
            *(f"-A EGRESS_CLOSED {it} -j RETURN" for it in kept),
            "-A EGRESS_CLOSED -j DROP",
            "COMMIT",
            "",
        ]
    )


def redirecting(image: str) -> Json:
    """A container that makes the rules as it starts, before the next one may.

    Each init container takes a second, until the kubelet sees that it has ended. The image has no
    shell; what goes on here is the one command in it that waits.
    """
    one = redirect(image)
    ever = str((1 << 31) - 1)
    return {
        **one,
        "command": ["pilot-agent", "wait", "--timeoutSeconds", ever, "--periodMillis", ever],
        "lifecycle": {"postStart": {"exec": {"command": one["command"]}}},
    }


def redirect(image: str) -> Json:
    """An init container that makes the rules."""
    return {
        "name": "egress-redirect",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["iptables-restore", "--noflush", "/etc/pytest-egress/rules"],
        "securityContext": {
            "runAsUser": 0,
            "runAsGroup": 0,
            "runAsNonRoot": False,
            "capabilities": {"add": ["NET_ADMIN", "NET_RAW"], "drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "egress-rules", "mountPath": "/etc/pytest-egress"}],
    }


def rules_volume() -> Json:
    """The volume that the rules are read from: an annotation of the pod."""
    field = {"fieldPath": f"metadata.annotations['{RULES}']"}
    return {
        "name": "egress-rules",
        "downwardAPI": {"items": [{"path": "rules", "fieldRef": field}]},
    }

"""The process in a namespace that has Istio's rules: it sends packets and says where they arrived.

Runs as a program of its own, standard library only. Its argument is JSON: ``user`` to be, the
``rules`` as fields of `NatRule`, the ``packets`` as (protocol, address, port); it prints a list
with ``proxy``, ``agent`` or an empty text for each, or ``{"failed": ...}``. Every address is
local here, so a packet that no rule redirects arrives at its own port.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import socket
import sys

from pytest_egress.capture.namespace.netlink import (
    NatRule,
    install,
    loopback_up,
    make_every_address_local,
)

__all__ = ["main"]

_NEW_USER, _NEW_NET = 0x10000000, 0x40000000
_ANY = "0.0.0.0"  # noqa: S104 - of a namespace that nobody else is in
_PROXY, _AGENT = 15001, 15053
_TIMEOUT = 5.0  # seconds; it takes none, all of it is loopback
_PAYLOAD = b"pytest-egress"


def main() -> None:
    """Do it and print what came of it."""
    asked = json.loads(sys.argv[1])
    try:
        _enter(asked["user"])
        loopback_up()
        make_every_address_local()
        install(NatRule(*rule) for rule in asked["rules"])
        listeners = _listen(asked["packets"])
        if os.geteuid() != asked["user"]:
            os.setresuid(asked["user"], asked["user"], asked["user"])
        print(json.dumps([_send(listeners, *packet) for packet in asked["packets"]]))  # noqa: T201
    except OSError as error:
        print(json.dumps({"failed": str(error)}))  # noqa: T201 - that is its answer


def _enter(user: int) -> None:
    """A network of its own, as that user; root may do without a user namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    mine, group = os.geteuid(), os.getegid()
    if libc.unshare(_NEW_USER | _NEW_NET) != 0:
        if mine != 0 or libc.unshare(_NEW_NET) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        return
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {mine} 1"),
        ("gid_map", f"{group} {group} 1"),
    ):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:  # noqa: PTH123 - no site
            file.write(text)


def _listen(packets: list[tuple[str, str, int]]) -> dict[socket.socket, str]:
    """Sockets for all that may arrive, with what stands behind each."""
    wanted = {("tcp", _PROXY): "proxy", ("tcp", _AGENT): "agent", ("udp", _AGENT): "agent"}
    wanted.update({(it[0], it[2]): "" for it in packets if (it[0], it[2]) not in wanted})
    found = {}
    for (protocol, port), name in wanted.items():
        if protocol == "tcp":
            listener = socket.create_server((_ANY, port), backlog=64)
        else:
            listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            listener.bind((_ANY, port))
        found[listener] = name
    return found


def _send(listeners: dict[socket.socket, str], protocol: str, address: str, port: int) -> str:
    """Send one and say where it has arrived."""
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind) as client:
        client.settimeout(_TIMEOUT)
        client.connect((address, port))
        if protocol == "udp":
            client.send(_PAYLOAD)
        ready = select.select(list(listeners), [], [], _TIMEOUT)[0]
        if not ready:
            raise TimeoutError(f"{protocol} to {address}:{port} arrived nowhere")
        listener = ready[0]
        if protocol == "tcp":
            with contextlib.closing(listener.accept()[0]):
                return listeners[listener]
        listener.recv(64)
        return listeners[listener]


if __name__ == "__main__":
    main()

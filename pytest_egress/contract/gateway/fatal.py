"""Hosts of a valid Gateway on which istiod 1.31 itself fails."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_egress.contract.gateway.resource import Gateway
from pytest_egress.contract.position import Position

__all__ = ["fatal_hosts"]


def fatal_hosts(gateway: Gateway) -> Iterator[tuple[str, Position]]:
    """What is wrong, and where: the first such host of each server.

    ``sanitizeServerHostNamespace`` of istiod's gateway merging replaces all hosts by a single
    ``*`` when it meets ``*/*``, and then writes to the places of those behind it.
    """
    for index, server in enumerate(gateway.servers):
        everything = False
        for i, host in enumerate(server.hosts):
            namespace, slash, name = host.partition("/")
            if not slash or namespace not in {".", "*"}:
                continue
            if (namespace, name) == ("*", "*"):
                everything = True
            elif everything:
                message = (
                    f'"{host}" behind "*/*" makes istiod 1.31 fail (a panic in the gateway\'s '
                    'configuration): leave it out, since "*/*" covers it'
                )
                yield message, gateway.at("spec", "servers", index, "hosts", i)
                break

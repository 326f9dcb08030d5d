"""The pod's network as istio-init makes it, in a network namespace that is the pod's alone."""

from __future__ import annotations

from typing import Any

from pytest_egress.capture.namespace.netlink import (
    loopback_up,
    make_every_address_local,
    redirect,
)

__all__ = ["capture"]


def capture(request: dict[str, Any]) -> dict[str, Any]:
    """Redirect what the pod's programs open to the proxy.

    The request has ``tcp`` and ``dns`` (ports; null leaves names alone), ``proxy`` (the number of
    its user) and ``outside``: a port to which the proxy's own connections are led, which makes
    every IPv4 address exist in this namespace; null lets them go where they go.
    """
    if request["outside"] is not None:
        loopback_up()
        make_every_address_local()
    redirect(
        request["tcp"], request["dns"], proxy=request["proxy"], outside_port=request["outside"]
    )
    return {}

"""The cluster that the settings name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_egress.backends.cluster.api import Api

if TYPE_CHECKING:
    from pytest_egress.backends.registry import Get

__all__ = ["api_of"]


def api_of(get: Get) -> Api:
    """The cluster that the settings name, guarded."""
    from pytest_egress.backends.cluster.guard import guard

    def check(context: str, server: str) -> None:
        guard(context, server, get("deny-context"), allowed=get("allow-prod"))

    return Api(get("context"), check=check)

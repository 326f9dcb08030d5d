"""How a client's call ended, as one word that can be compared."""

from __future__ import annotations

from tests.clients import database_clients, http_clients

__all__ = ["ending"]

_CLIENTS = {**http_clients.CLIENTS, **database_clients.CLIENTS}


def ending(client: str, url: str, timeout: float) -> str:
    """What the client returned, or the full name of the exception's type; of a group, the first."""
    try:
        return str(_CLIENTS[client](url, timeout))
    except Exception as error:  # noqa: BLE001 - what a library raises is what is asked here
        raised: BaseException = error
        while inner := getattr(raised, "exceptions", None):
            raised = inner[0]
        return f"{type(raised).__module__}.{type(raised).__qualname__}"

"""Charges cards with a payment provider, several at a time, and asks again where that helps."""

from __future__ import annotations

import asyncio

import httpx

CHARGES_URL = "https://api.payments.example/v1/charges"
_ATTEMPTS = 3
_PAUSE = 0.01  # seconds before the second attempt; twice as many before the third


class DeclinedError(Exception):
    """The provider has not charged the card."""


async def charge(client: httpx.AsyncClient, order: str, cents: int) -> str:
    """Charge once, with a key that keeps a repeated request from being a second charge.

    Raises:
        DeclinedError: the provider declines it, or cannot be asked.
    """
    body = {"cents": cents, "key": order}
    for attempt in range(_ATTEMPTS):
        await asyncio.sleep(_PAUSE * attempt)
        try:
            answer = await client.post(CHARGES_URL, json=body)
        except httpx.TransportError as error:
            raise DeclinedError(f"{order}: {error}") from error
        if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
            break
    if answer.is_error:
        raise DeclinedError(f"{order}: {answer.status_code}")
    return str(answer.json()["id"])


async def charge_all(orders: dict[str, int]) -> list[str]:
    """Charge many orders at once, over one pool of connections."""
    async with httpx.AsyncClient(timeout=10) as client:
        return await asyncio.gather(*(charge(client, *order) for order in orders.items()))

"""A weather service: it reads a forecast from api.weather.com."""

from __future__ import annotations

from dataclasses import dataclass

import requests

FORECAST_URL = "https://api.weather.com/v3/forecast"


class WeatherUnavailableError(Exception):
    """There is no forecast to be had."""


@dataclass(frozen=True)
class Forecast:
    """What the service tells its own users."""

    city: str
    celsius: float


def forecast(city: str, session: requests.Session) -> Forecast:
    """Fetch the forecast for a city.

    Raises:
        WeatherUnavailableError: the API cannot be reached or does not answer properly.
    """
    try:
        response = session.get(FORECAST_URL, params={"city": city}, timeout=5)
        response.raise_for_status()
    except requests.RequestException as error:
        raise WeatherUnavailableError(str(error)) from error
    return Forecast(city, float(response.json()["celsius"]))

"""The weather service's egress contract, tested with the YAML that production gets."""

from __future__ import annotations

import pytest
from weather import FORECAST_URL, Forecast, WeatherUnavailableError, forecast


def test_weather_api_is_reachable(egress):
    """With the entry, the API answers, and a real certificate check passes."""
    outcome = egress.get(FORECAST_URL)
    assert outcome.reachable
    assert outcome.evidence.cluster == "outbound|443||api.weather.com"


def test_weather_api_is_blocked_without_its_entry(egress):
    """Take the entry out and the same request is refused by the mesh."""
    assert egress.without("api.weather.com").get(FORECAST_URL).blocked


def test_another_port_is_blocked(egress):
    """The entry opens 443 and nothing else."""
    assert egress.get("http://api.weather.com:8080/v3/forecast").blocked


def test_another_host_is_blocked(egress):
    """It exists and would answer, but nothing declares it."""
    assert egress.get("https://evil.example").blocked


def test_dead_upstream_is_unreachable_not_blocked(egress, egress_upstreams):
    """The contract is right and the API is down: another problem, another verdict."""
    egress_upstreams["api.weather.com"].refuse()
    outcome = egress.get(FORECAST_URL)
    assert outcome.unreachable
    assert not outcome.blocked


def test_every_address_behind_the_name_is_used(egress, egress_upstreams):
    """One address of two is dead: the proxy tries the other one."""
    api = egress_upstreams["api.weather.com"]
    api.addresses("203.0.113.10", "203.0.113.11")
    assert set(egress.resolve("api.weather.com").addresses) == {"203.0.113.10", "203.0.113.11"}
    answered = {egress.get(FORECAST_URL).upstream for _ in range(20)}
    assert answered == {"203.0.113.10:443", "203.0.113.11:443"}


def test_stations_have_fixed_endpoints(egress):
    """A STATIC entry: its own address leads to the endpoints, whatever DNS says."""
    outcome = egress.connect("tcp://198.51.100.10:7070")
    assert outcome.reachable
    assert outcome.upstream in {"203.0.113.21:7070", "203.0.113.22:7070"}


@pytest.mark.egress_reachable("https://api.weather.com", "tcp://198.51.100.10:7070")
@pytest.mark.egress_blocked("https://evil.example", "http://api.weather.com")
@pytest.mark.egress_resolves("api.weather.com")
def test_contract():
    """The same as markers: the body has nothing left to do."""


@pytest.mark.egress_policy("ALLOW_ANY")
def test_an_open_mesh_would_let_anything_out(egress):
    """Why REGISTRY_ONLY matters: the same host answers, undeclared."""
    outcome = egress.get("https://evil.example")
    assert outcome.verdict.value == "UNDECLARED"


def test_application_reads_the_forecast(egress, egress_upstreams):
    """The application's own code, its requests going through the pod."""
    egress_upstreams["api.weather.com"].respond(200, body=b'{"celsius": 21.5}')
    assert forecast("Berlin", egress.session) == Forecast("Berlin", 21.5)


def test_application_survives_a_blocked_api(egress):
    """What the application does when the entry is missing."""
    with pytest.raises(WeatherUnavailableError):
        forecast("Berlin", egress.without("api.weather.com").session)

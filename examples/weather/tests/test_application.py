"""The application's own suite behind the contract, with the session that it makes itself."""

from __future__ import annotations

import pytest
import requests
from weather import Forecast, WeatherUnavailableError, forecast

API = "api.weather.com"


@pytest.fixture
def session():
    """What the application has in production."""
    with requests.Session() as session:
        yield session


def test_forecast_is_read_and_nothing_else_is_called(egress_captured, egress_upstreams, session):
    """The whole test is captured; the log has each call, its verdict and its line."""
    api = egress_upstreams[API].respond(200, body=b'{"celsius": 21.5}')
    assert forecast("Berlin", session) == Forecast("Berlin", 21.5)
    egress_captured.assert_only(f"{API}:443")
    assert egress_captured[0].where.function == "forecast"
    assert [request.path for request in api.requests] == ["/v3/forecast?city=Berlin"]


@pytest.mark.egress_captured
@pytest.mark.parametrize("status", [404, 500, 503])
def test_error_of_the_api_is_the_application_s_own(egress_upstreams, session, status):
    """Allowed by the contract and answered, but not with a forecast."""
    egress_upstreams[API].fail(status)
    with pytest.raises(WeatherUnavailableError, match=str(status)):
        forecast("Berlin", session)


def test_api_with_another_s_certificate(egress_captured, egress_upstreams, session):
    """The application checks who it talks to."""
    egress_upstreams[API].certificate("wrong-name")
    with pytest.raises(WeatherUnavailableError, match="certificate"):
        forecast("Berlin", session)
    assert egress_captured.unreachable.hosts == {API}


def test_api_that_nothing_declares(egress, session):
    """What the application does in a mesh without the entry, and that the mesh refused it."""
    pod = egress.without(API)
    with pod.capture(on_blocked="allow") as calls, pytest.raises(WeatherUnavailableError):
        forecast("Berlin", session)
    assert calls.blocked.hosts == {API}

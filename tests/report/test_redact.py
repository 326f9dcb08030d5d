"""Credentials in URLs stay out of reports."""

from __future__ import annotations

import pytest

from pytest_egress.report.redact import redacted


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("https://a.example/x?token=abc&page=2", "https://a.example/x?token=***&page=2"),
        ("/x?page=2&access_token=abc def", "/x?page=2&access_token=*** def"),
        ("/x?X-Amz-Signature=00ff&X-Amz-Date=1", "/x?X-Amz-Signature=***&X-Amz-Date=1"),
        ("/x?api_key=k&apikey=k&api-key=k", "/x?api_key=***&apikey=***&api-key=***"),
        ("'/x?password=p#top'", "'/x?password=***#top'"),
        ("/x?client[secret]=s", "/x?client[secret]=***"),
        ("/x?code=1&key=2&sig=3", "/x?code=***&key=***&sig=***"),
    ],
)
def test_named_like_credentials(text: str, told: str) -> None:
    """Whatever stands around the name, and wherever the URL stands."""
    assert redacted(text) == told


@pytest.mark.parametrize(
    "text",
    [
        "/x?page=2&design=flat&monkey=1&author_name=x",
        "token=abc outside of a URL",
        "authority=api.example sni=- dst=198.18.0.1:443 route=- chain=-",
        "",
    ],
)
def test_the_rest_stays(text: str) -> None:
    """Other parameters, and what is no URL."""
    assert redacted(text) == text

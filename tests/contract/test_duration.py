"""Durations: Go's notation in, protobuf's JSON out."""

from __future__ import annotations

import pytest

from pytest_egress.contract.duration import duration_json, parse_duration


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("0", 0),
        ("-0", 0),
        ("0s", 0),
        ("5s", 5_000_000_000),
        ("1m30s", 90_000_000_000),
        ("1h2m3s4ms5us6ns", 3_723_004_005_006),
        ("1.5h", 5_400_000_000_000),
        (".5s", 500_000_000),
        ("5.s", 5_000_000_000),
        ("+2s", 2_000_000_000),
        ("-2s", -2_000_000_000),
        ("7\u00b5s", 7_000),
        ("7\u03bcs", 7_000),
        ("1s1s", 2_000_000_000),
        ("0.0000000001s", 0),
        ("0.100000000000000000000h", 360_000_000_000),
        ("9223372036854775807ns", (1 << 63) - 1),
        ("-9223372036854775808ns", -(1 << 63)),
    ],
)
def test_durations_are_read_as_go_reads_them(text: str, nanoseconds: int) -> None:
    """Units, signs, fractions and both micro signs."""
    assert parse_duration(text) == nanoseconds


@pytest.mark.parametrize(
    "text",
    [
        "", "-", "5", "s", ".s", "1 s", "1s ", "1S", "1d", "1.2.3s", "--1s", "1e3s", "3..s", "1s2",
        "9223372036854775808ns", "-9223372036854775809ns", "300000h5000000h", "\u0661s",
    ],
)  # fmt: skip
def test_what_is_no_duration(text: str) -> None:
    """A unit is needed, it is spelt as Go spells it, and the value fits into 64 bits."""
    assert parse_duration(text) is None


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (2_000_000_000, "2s"),
        (250_000_000, "0.250s"),
        (1_000, "0.000001s"),
        (1, "0.000000001s"),
        (-1_500_000_000, "-1.500s"),
    ],
)
def test_durations_are_written_as_protobuf_writes_them(nanoseconds: int, text: str) -> None:
    """Three, six or nine digits behind the point, or none."""
    assert duration_json(nanoseconds) == text

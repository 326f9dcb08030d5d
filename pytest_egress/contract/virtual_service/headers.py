"""Headers that a VirtualService sets, adds and removes: names, and values with Envoy's commands."""

from __future__ import annotations

import re
from typing import Any

from pytest_egress.contract.report import Path, Report
from pytest_egress.contract.virtual_service.items import items

__all__ = ["check_headers", "is_authority"]

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
# A value as istiod reads Envoy's format: text, "%%", "%COMMAND%", "%COMMAND(argument)%" and the
# older '%COMMAND(["argument", "argument"])%'. What the commands are called is Envoy's business.
_ARGUMENT = r'(?:[^\\)"]|\\.)*'
_ARGUMENTS = rf'\( *(?:[^ \[]|\[ *"){_ARGUMENT}(?:" *, *"{_ARGUMENT})*(?:\)|" *\] *\)) *%'
_VALUE = re.compile(rf"(?:[^%]|%%|%(?!%)[^%(]*(?:%|{_ARGUMENTS}))*", re.DOTALL)


def is_authority(name: str) -> bool:
    """Whether the header is the request's host."""
    return name.casefold() in {"host", ":authority"}


def check_headers(headers: dict[str, Any], path: Path, report: Report) -> None:
    """``headers`` of an http route or of one of its destinations."""
    for side in ("request", "response"):
        operations = headers.get(side, {})
        for verb in ("set", "add"):
            for name, value in operations.get(verb, {}).items():
                place = (*path, side, verb, name)
                flaw = _name_flaw(name, authority=side == "request")
                if flaw:
                    report.error("virtual-service/header-name", flaw, place, key=True)
                if flaw := _value_flaw(value):
                    report.error("virtual-service/header-value", flaw, place)
        for i, name in items(operations, "remove"):
            if flaw := _name_flaw(name, authority=False):
                report.error("virtual-service/header-name", flaw, (*path, side, "remove", i))


def _name_flaw(name: str, *, authority: bool) -> str | None:
    if not name:
        return "the header's name is empty"
    if is_authority(name):
        if authority:
            return None
        return f'"{name}" cannot be changed here: set it in a request, or rewrite authority'
    if name.startswith(":"):
        return f'"{name}" is part of the request line: use rewrite, redirect or match instead'
    return None


def _value_flaw(value: str) -> str | None:
    if _CONTROL.search(value):
        return "the value holds a control character"
    if _VALUE.fullmatch(value) is None:
        return f'"{value}": "%" begins a command of Envoy (%HOSTNAME%): a percent sign is "%%"'
    return None

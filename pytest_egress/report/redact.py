"""Keeps credentials that a URL carries out of reports: they are uploaded and shown to many."""

from __future__ import annotations

import re

__all__ = ["redacted"]

_NAMES = "token|secret|passw(?:or)?d|pwd|api[-_.]?key|signature|sig|auth|credential|session|sas"
# A parameter of a query, and the value that follows it; its name may only end or begin so.
_PARAMETER = re.compile(
    rf"(?i)([?&](?:[\w.\[\]%-]{{0,64}}[-_.\[])?(?:\w{{0,32}}(?:{_NAMES})|key|code)"
    r"(?:[-_.][\w.-]{0,32})?\]?=)[^&#\s\"'<>]+"
)
_HIDDEN = r"\1***"


def redacted(text: str) -> str:
    """The text; in URLs the values of parameters that are named like credentials are ``***``."""
    return _PARAMETER.sub(_HIDDEN, text) if "=" in text else text

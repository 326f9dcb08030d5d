"""The marker ``egress_bypass``: the ways are tried before its test, and told beside its report."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pytest

from pytest_egress.bypass.annotations import AnnotationError
from pytest_egress.bypass.bypass import Bypass
from pytest_egress.bypass.kernel import observe
from pytest_egress.bypass.ways import find
from pytest_egress.errors import ProbeError
from pytest_egress.probes import read_probe

if TYPE_CHECKING:
    from pytest_egress.egress import Egress

__all__ = ["ATTRIBUTE", "attach", "lines", "read", "try_ways"]

#: On a test's report: the ways, as JSON, which xdist's workers can send.
ATTRIBUTE = "egress_bypasses"
_STATES = {True: "open", None: "unknown", False: "closed"}


def try_ways(item: pytest.Item, mark: pytest.Mark, pod: Egress) -> list[Bypass]:
    """What the marker asks for.

    Raises:
        pytest.fail.Exception: its arguments or the pod's annotations are wrong.
    """
    try:
        urls, annotations = _arguments(*mark.args, **mark.kwargs)
        return list(find(pod, urls, annotations, observe))
    except (TypeError, ProbeError, AnnotationError) as error:
        message = f"{item.nodeid}: egress_bypass: {error}"
        raise pytest.fail.Exception(message, pytrace=False) from None


def _arguments(
    *urls: str, annotations: Mapping[str, str] | None = None
) -> tuple[tuple[str, ...], Mapping[str, str] | None]:
    for url in urls:
        if not isinstance(url, str):
            raise TypeError(f"expected URLs, got {url!r}")
        read_probe(url, 1.0, {})
    if annotations is not None and not isinstance(annotations, Mapping):
        raise TypeError(f"annotations: expected a mapping of names to texts, got {annotations!r}")
    for name, value in (annotations or {}).items():
        if not isinstance(value, str):
            raise TypeError(f"annotations: {name}: expected text, got {value!r}")
    return urls, annotations


def attach(report: pytest.TestReport, found: Iterable[Bypass]) -> None:
    """Send them along with a report."""
    setattr(report, ATTRIBUTE, json.dumps([it.to_json() for it in found]))


def read(report: Any) -> list[Bypass]:
    """Those that a report has."""
    return [Bypass.from_json(it) for it in json.loads(getattr(report, ATTRIBUTE, "[]"))]


def lines(found: Iterable[Bypass]) -> Iterator[str]:
    """The open ways by who stops them, then how many were tried; each way and target once."""
    listed = list({(it.way, it.target, it.open): it for it in found}.values())
    enforced: dict[tuple[str, str], list[Bypass]] = {}
    for it in listed:
        if it.open is not False:
            enforced.setdefault((it.way, it.enforced_by), []).append(it)
    for (way, by), ways in enforced.items():
        for it in ways:
            where = f" ({it.position})" if it.position else ""
            yield f"{_STATES[it.open]}: {way} {it.target}{where}: {it.reason} [{it.shown_by}]"
        yield f"    stopped by: {by}"
    counts = Counter(it.open for it in listed)
    told = ", ".join(f"{counts[state]} {name}" for state, name in _STATES.items() if counts[state])
    yield f"{len(listed)} ways tried: {told}; whether a NetworkPolicy stops one a cluster can show"

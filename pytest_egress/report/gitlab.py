"""What GitLab's job page shows beside a log: links to the places of what failed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from pytest_egress.report.paths import in_repository
from pytest_egress.report.sarif import Result

__all__ = ["links"]

_MOST = 50
_LABEL = 200


def links(
    results: Iterable[Result], environment: Mapping[str, str], html: str = ""
) -> dict[str, Any]:
    """An annotations report, as plain objects for ``json.dumps``.

    Args:
        results: what failed; each leads to its line in the commit that the job has.
        environment: GitLab's variables; without ``CI_PROJECT_URL`` and ``CI_COMMIT_SHA`` there
            is nowhere to lead to.
        html: path of the HTML report in the job's artifacts; empty: there is none.
    """
    found = [*_report(environment, html), *_places(results, environment)]
    return {"egress": [{"external_link": {"label": label, "url": url}} for label, url in found]}


def _report(environment: Mapping[str, str], html: str) -> Iterator[tuple[str, str]]:
    job = environment.get("CI_JOB_URL", "")
    if job and html:
        yield "Egress report", f"{job}/artifacts/file/{quote(html)}"


def _places(results: Iterable[Result], environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    project, commit = environment.get("CI_PROJECT_URL", ""), environment.get("CI_COMMIT_SHA", "")
    if not project or not commit:
        return
    failed = [it for it in results if it.level == "error" and it.position is not None]
    for result in failed[:_MOST]:
        place = result.position
        if place is not None:
            path = quote(in_repository(place.file))
            label = result.message.partition("\n")[0][:_LABEL]
            yield label, f"{project}/-/blob/{commit}/{path}#L{place.line}"

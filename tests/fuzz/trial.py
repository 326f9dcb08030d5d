"""One file through validate, lint and explain: what becomes of it, and how long it takes."""

from __future__ import annotations

import random
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pytest_egress.contract import load, unsupported, verdict
from pytest_egress.contract.linting import lint
from pytest_egress.contract.resources import (
    MeshConfig,
    OutboundTrafficPolicy,
    PolicyMode,
    Workload,
)
from pytest_egress.errors import ContractError, ProbeError
from pytest_egress.probe import Target
from pytest_egress.report.foresight import Foresight
from pytest_egress.report.foretold import foretell
from tests.conformance.cases import RECORDED, read_cases
from tests.fuzz.mutations import mutated

__all__ = ["LIMIT", "Trial", "corpus", "trials"]

LIMIT = 2.0  # seconds of processor time for one file
_URLS = ("https://api.example.com", "http://www.weather.test/v1", "tcp://203.0.113.9:5432")
_MODES: tuple[PolicyMode, ...] = ("REGISTRY_ONLY", "ALLOW_ANY", "ALLOW_ANY_DYNAMIC_DNS")


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of one file.

    Attributes:
        seed: with which `trials` makes the same file again.
        text: the file.
        outcome: ``accepted``, ``warned``, ``refused`` or ``unreadable``.
        seconds: of processor time.
        failure: a traceback; empty when every answer was one.
    """

    seed: str
    text: str
    outcome: str
    seconds: float
    failure: str = ""

    @property
    def failed(self) -> bool:
        """Whether it is to be told."""
        return bool(self.failure) or self.seconds > LIMIT


@cache
def corpus() -> tuple[str, ...]:
    """The texts to begin with: the recorded cases'."""
    return tuple(case["yaml"] for name in RECORDED for case in read_cases(name))


def trials(seed: str, count: int, directory: Path) -> Iterator[Trial]:
    """Make files and try each; the file ``i`` of a seed is always the same."""
    texts = corpus()
    for i in range(count):
        name = f"{seed}-{i}"
        chance = random.Random(name)
        text = mutated(chance.choice(texts), chance.choice(texts), chance)
        yield _try(name, text, directory / "f.yaml", chance.choice(_MODES))


def _try(seed: str, text: str, path: Path, mode: PolicyMode) -> Trial:
    data = text.encode("utf-8", "surrogatepass")
    begin = time.process_time()
    outcome, failure = "", ""
    try:
        linted = lint(["-"], stdin=data)
        outcome = verdict(linted.survey.problems)
        path.write_bytes(data)
        _explain(path, mode)
    except Exception:  # noqa: BLE001  this is what is looked for
        failure = traceback.format_exc()
    return Trial(seed, text, outcome, time.process_time() - begin, failure)


def _explain(path: Path, mode: PolicyMode) -> None:
    try:
        contract = load(path, mesh=MeshConfig(outbound_traffic_policy=OutboundTrafficPolicy(mode)))
        if any(it.severity == "error" for it in unsupported(contract)):
            return
        foresight = Foresight(contract, Workload("default", {"app": "web"}))
    except ContractError:
        return
    hosts = [host for entry in contract.service_entries[:2] for host in entry.hosts[:1]]
    for url in (*_URLS, *(f"http://{host.lstrip('*.')}" for host in hosts)):
        try:
            "\n".join(foretell(foresight, Target.parse(url)).lines())
        except (ProbeError, ValueError):
            continue  # a host that is no URL's, a regex that only Envoy knows

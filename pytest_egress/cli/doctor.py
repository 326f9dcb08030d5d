"""``pytest-egress doctor``: what works on this machine, and what to do where it does not."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pytest_egress.errors import ProbeError

if TYPE_CHECKING:
    from pytest_egress.doctor.check import Finding

__all__ = ["add_doctor"]

SCHEMA = 1
_NEEDED = ("local",)  # unless the command line says what is


def add_doctor(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    doctor = commands.add_parser(
        "doctor",
        help="say what works on this machine, and why not",
        description="Try everything that pytest-egress may need on this machine: Python, Envoy, "
        "the local backend, commands in namespaces, containers, kind, istioctl, a cluster.",
    )
    doctor.add_argument(
        "--require",
        action="append",
        default=[],
        metavar="NAME",
        help="end with 1 unless this works; may be given several times (default: local)",
    )
    doctor.add_argument("--only", action="store_true", help="try nothing but what is required")
    doctor.add_argument(
        "--format",
        choices=("text", "json"),
        default="text",
        help="text for people (default), or one JSON object",
    )
    doctor.add_argument("--envoy", default="", metavar="PATH", help="the Envoy program to try")
    doctor.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from pytest_egress.doctor.check import carry_out
    from pytest_egress.doctor.enforcement import enforcement_checks
    from pytest_egress.doctor.programs import program_checks

    checks = (*enforcement_checks(options.envoy), *program_checks())
    names = [check.name for check in checks]
    required = tuple(options.require) or _NEEDED
    for name in required:
        if name not in names:
            from pytest_egress.contract.suggest import nearest

            close = nearest(name, names)
            hint = f"; did you mean {close}?" if close else ""
            raise ProbeError(f"--require={name}: expected one of {', '.join(names)}{hint}")
    if options.only:
        checks = tuple(check for check in checks if check.name in required)
    findings = []
    for check in checks:
        finding = carry_out(check)
        findings.append(finding)
        if options.format == "text":
            print(_text(finding, finding.name in required), flush=True)
    if options.format == "json":
        print(json.dumps(_object(findings, required), indent=2))
    return 1 if any(f.name in required and not f.works for f in findings) else 0


def _text(finding: Finding, required: bool) -> str:
    """The finding as lines; what failed is told with what it is needed for and the next step."""
    word = "ok" if finding.works else "FAIL" if required else "no"
    first, *more = finding.detail.splitlines() or [""]
    lines = [f"{finding.name:<9} {word:<5} {first}", *more]
    if not finding.works:
        lines.append(f"needed for {finding.purpose}")
    if finding.next_step:
        lines.append(f"next step: {finding.next_step}")
    return f"\n{'':16}".join(lines)


def _object(findings: Sequence[Finding], required: Sequence[str]) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "works": all(f.works for f in findings if f.name in required),
        "required": list(required),
        "checks": [finding.to_json() for finding in findings],
    }

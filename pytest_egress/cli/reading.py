"""The command lines of what reads contracts without running them."""

from __future__ import annotations

import argparse

__all__ = ["add_lint"]


def add_lint(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``lint`` to the commands."""
    lint = commands.add_parser(
        "lint",
        help="say what Istio accepts and rarely means what it says",
        description="Check Istio YAML for what rarely means what it says, Istio's own analyzers "
        "included. A comment # egress-lint: disable=RULE reason silences a finding.",
    )
    lint.add_argument(
        "files",
        nargs="+",
        metavar="PATH",
        help="file, directory or glob of Istio YAML; - for standard input",
    )
    lint.add_argument(
        "--format",
        choices=("text", "json", "sarif", "github"),
        default="text",
        help="text for people (default), one JSON object, SARIF 2.1.0, or annotations of GitHub "
        "Actions",
    )
    lint.add_argument(
        "--fail-on",
        choices=("error", "warning", "note"),
        default="warning",
        help="the most harmless level that ends the command with 1 (default: warning)",
    )
    lint.add_argument(
        "--mesh-config",
        metavar="FILE",
        help="the mesh's settings: MeshConfig, ConfigMap istio, IstioOperator or Helm values",
    )
    lint.set_defaults(run=_run_lint)


def _run_lint(options: argparse.Namespace) -> int:
    from pytest_egress.cli.lint import lint_files

    return lint_files(
        options.files,
        form=options.format,
        fail_on=options.fail_on,
        mesh_config=options.mesh_config or "",
    )

"""The command lines of what reads contracts without running them."""

from __future__ import annotations

import argparse

__all__ = ["add_diff", "add_explain", "add_lint", "add_table"]


def add_diff(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``diff`` to the commands."""
    diff = commands.add_parser(
        "diff",
        help="say what changes for callers from one contract to another, or to a cluster",
        description="Compare two contracts, or files with what a cluster holds, in terms of what "
        "is reachable: both are asked the same calls, without a proxy.",
    )
    diff.add_argument("paths", nargs="*", metavar="OLD NEW", help="two files, directories or globs")
    diff.add_argument(
        "-c",
        "--contract",
        action="append",
        default=[],
        metavar="PATH",
        help="with --context: the files to compare with; may be given several times",
    )
    diff.add_argument(
        "--context",
        metavar="NAME",
        help="compare with the cluster of this kube context, which is OLD (empty: the current one)",
    )
    diff.add_argument(
        "--istio-namespace",
        default="istio-system",
        metavar="NAME",
        help="where the cluster has Istio's ConfigMap (default: istio-system)",
    )
    _add_pod(diff)
    diff.add_argument(
        "--from",
        dest="workload",
        action="append",
        default=[],
        metavar="WORKLOAD",
        help="who asks: NAMESPACE or NAMESPACE/key=value,key=value; may be given several times "
        "(default: all that the contracts tell apart)",
    )
    diff.add_argument(
        "--format",
        choices=("text", "json", "markdown"),
        default="text",
        help="text (default), one JSON object, or the comment of a pull request",
    )
    diff.set_defaults(run=_run_diff)


def _run_diff(options: argparse.Namespace) -> int:
    from pytest_egress.cli.diff import diff

    return diff(options)


def add_explain(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``explain`` to the commands."""
    explain = commands.add_parser(
        "explain",
        help="say what decides about a call, why, and what would change it",
        description="Say which listener, filter chain, route and cluster decide about a call, why, "
        "which resources had a part in it, and what would change it. No proxy is started.",
    )
    explain.add_argument(
        "urls", nargs="+", metavar="URL", help="http, https, tls, tcp, grpc, grpcs"
    )
    _add_contract(explain)
    _add_pod(explain)
    explain.add_argument(
        "--from",
        dest="workload",
        default="default",
        metavar="WORKLOAD",
        help="who asks: NAMESPACE or NAMESPACE/key=value,key=value (default: default)",
    )
    explain.add_argument(
        "--address",
        default="",
        metavar="IP",
        help="what the names resolve to (default: what the contract says of them, else an address "
        "that no listener is for)",
    )
    explain.add_argument(
        "--format", choices=("text", "json"), default="text", help="text (default) or one JSON list"
    )
    explain.set_defaults(run=_run_explain)


def add_table(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``table`` to the commands."""
    table = commands.add_parser(
        "table",
        help="show every declared host and port, as each workload finds it",
        description="Show the matrix of declared hosts and ports by workloads, and of any other "
        "host on the same ports. No proxy is started unless --probe asks for it.",
    )
    _add_contract(table)
    _add_pod(table)
    table.add_argument(
        "--from",
        dest="workload",
        action="append",
        default=[],
        metavar="WORKLOAD",
        help="who asks: NAMESPACE or NAMESPACE/key=value,key=value; may be given several times "
        "(default: all that the contract tells apart)",
    )
    table.add_argument(
        "--probe", action="store_true", help="probe through an Envoy for each workload"
    )
    table.add_argument("--envoy", default="", metavar="PATH", help="the Envoy program to run")
    table.add_argument(
        "--format",
        choices=("text", "markdown", "json"),
        default="text",
        help="text (default), a Markdown table, or one JSON object",
    )
    table.set_defaults(run=_run_table)


def _run_table(options: argparse.Namespace) -> int:
    from pytest_egress.cli.table import print_table

    return print_table(options)


def _add_contract(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "-c",
        "--contract",
        action="append",
        required=True,
        metavar="PATH",
        help="file, directory or glob of Istio YAML; may be given several times",
    )


def _add_pod(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--policy",
        choices=("REGISTRY_ONLY", "ALLOW_ANY"),
        help="default: the mesh file's, REGISTRY_ONLY without one",
    )
    command.add_argument(
        "--mesh-config",
        metavar="FILE",
        help="the mesh's settings: MeshConfig, ConfigMap istio, IstioOperator or Helm values",
    )
    command.add_argument(
        "--dns-proxy",
        action="store_true",
        help="Istio's agent resolves the pod's names (default: what the mesh file says)",
    )


def _run_explain(options: argparse.Namespace) -> int:
    from pytest_egress.cli.explain import explain_urls

    return explain_urls(options)


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
        choices=("text", "json", "sarif", "github", "gitlab"),
        default="text",
        help="text for people (default), one JSON object, SARIF 2.1.0, annotations of GitHub "
        "Actions, or GitLab's Code Quality report",
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

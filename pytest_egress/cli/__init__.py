"""The ``pytest-egress`` command: try a contract from the shell.

Exit codes:
    0  everything asked for holds: every URL was reachable, every document is acceptable, what is
       required works, the test that was written passes, what runs have left is removed
    1  something does not hold: a URL that is not reachable, a document that Istio refuses,
       something required that does not work here, a finding of lint, a difference for callers
    2  the command, the contract or the name of a file to write cannot be used
    3  no answer: a verdict was INCONCLUSIVE, the proxy could not be brought up, or something
       that runs have left could not be removed
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from pytest_egress.cli.clean import add_clean
from pytest_egress.cli.doctor import add_doctor
from pytest_egress.cli.init import add_init
from pytest_egress.cli.rbac import add_rbac
from pytest_egress.cli.reading import add_diff, add_explain, add_lint, add_table
from pytest_egress.cli.schema import add_schema
from pytest_egress.errors import BackendError, ContractError, ProbeError

__all__ = ["main", "parser"]

FAILED, UNUSABLE, NO_ANSWER = 1, 2, 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; see the module's docstring."""
    options = parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except (ContractError, ProbeError) as error:
        print(error, file=sys.stderr)
        return UNUSABLE
    except BackendError as error:
        print(error, file=sys.stderr)
        return NO_ANSWER
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read the output has gone; what is still buffered must not fail at exit again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def parser() -> argparse.ArgumentParser:
    """The command line as it is parsed."""
    root = argparse.ArgumentParser(
        prog="pytest-egress",
        description="Try an Istio egress contract against a real Envoy.",
        epilog="exit codes: 0 holds, 1 does not hold, 2 cannot be used, 3 no answer",
    )
    commands = root.add_subparsers(required=True, metavar="COMMAND")
    _add_probe(commands)
    _add_validate(commands)
    add_clean(commands)
    add_doctor(commands)
    add_init(commands)
    add_lint(commands)
    add_explain(commands)
    add_diff(commands)
    add_rbac(commands)
    add_schema(commands)
    add_table(commands)
    return root


def _add_probe(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    probe = commands.add_parser(
        "probe",
        help="probe URLs from a pod that lives under a contract",
        description="Probe URLs from a pod that lives under a contract. The outside is simulated: "
        "every name resolves and every port answers, so only the mesh can block.",
    )
    probe.add_argument("urls", nargs="*", metavar="URL", help="http, https, tls, tcp, grpc, grpcs")
    probe.add_argument(
        "-c",
        "--contract",
        action="append",
        default=[],
        metavar="PATH",
        help="file, directory or glob of Istio YAML; may be given several times",
    )
    probe.add_argument(
        "--policy",
        choices=("REGISTRY_ONLY", "ALLOW_ANY"),
        help="default: the mesh file's, REGISTRY_ONLY without one",
    )
    probe.add_argument(
        "--mesh-config",
        metavar="FILE",
        help="the mesh's settings: MeshConfig, ConfigMap istio, IstioOperator or Helm values",
    )
    probe.add_argument(
        "--workload",
        default="default",
        metavar="WORKLOAD",
        help="who asks: NAMESPACE or NAMESPACE/key=value,key=value",
    )
    probe.add_argument(
        "--dns-proxy",
        action="store_true",
        help="Istio's agent resolves the pod's names (default: what the mesh file says)",
    )
    probe.add_argument("--live", action="store_true", help="ask the real outside")
    probe.add_argument(
        "--pod-root",
        default="/",
        metavar="DIR",
        help="directory that stands for the pod's root, where certificates lie (default: /)",
    )
    probe.add_argument("--envoy", default="", metavar="PATH", help="the Envoy program to run")
    probe.add_argument(
        "--timeout", type=float, default=5.0, metavar="SECONDS", help="for one probe (default: 5)"
    )
    probe.add_argument("--json", action="store_true", help="one JSON object a line")
    probe.add_argument(
        "--batch",
        metavar="FILE",
        help="read contracts and calls from FILE (- for standard input) as JSON lines",
    )
    probe.set_defaults(run=_run_probe)


def _add_validate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    validate = commands.add_parser(
        "validate",
        help="say what istiod would refuse",
        description="Check Istio YAML as the API server and istiod do, all problems at once.",
    )
    validate.add_argument(
        "files",
        nargs="*",
        metavar="PATH",
        help="file, directory or glob of Istio YAML; - for standard input, such as the output of "
        "helm template or kustomize build",
    )
    validate.add_argument(
        "--format",
        choices=("text", "json", "github", "gitlab"),
        default="text",
        help="text for people (default), one JSON object, annotations of GitHub Actions, or "
        "GitLab's Code Quality report",
    )
    validate.add_argument(
        "--mesh-config",
        metavar="FILE",
        help="the mesh's settings: MeshConfig, ConfigMap istio, IstioOperator or Helm values",
    )
    validate.add_argument(
        "--strict", action="store_true", help="end with 1 for warnings and lint as well"
    )
    validate.add_argument(
        "--batch",
        metavar="FILE",
        help="read documents from FILE (- for standard input) as JSON lines",
    )
    validate.set_defaults(run=_run_validate)


def _run_probe(options: argparse.Namespace) -> int:
    from pytest_egress.cli.batch import probe_batch
    from pytest_egress.cli.probe import probe_urls

    if options.batch:
        if options.urls or options.contract:
            raise ProbeError("--batch brings its own contracts and calls: give no URL and no -c")
        return probe_batch(
            options.batch,
            envoy=options.envoy,
            pod_root=options.pod_root,
            timeout=options.timeout,
        )
    if not options.urls:
        raise ProbeError("give at least one URL, such as https://api.weather.com")
    if not options.contract:
        raise ProbeError("name the contract with -c PATH")
    return probe_urls(options)


def _run_validate(options: argparse.Namespace) -> int:
    from pytest_egress.cli.validate import validate_batch, validate_files

    if options.batch:
        if options.files or options.strict or options.mesh_config or options.format != "text":
            raise ProbeError(
                "--batch brings its own documents and answers: give no PATH and no option"
            )
        return validate_batch(options.batch)
    if not options.files:
        raise ProbeError("give at least one PATH, - for standard input, or --batch")
    return validate_files(
        options.files,
        form=options.format,
        strict=options.strict,
        mesh_config=options.mesh_config or "",
    )

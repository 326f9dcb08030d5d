"""``pytest-egress rbac``: the rights that a run on a cluster needs, as YAML to apply."""

from __future__ import annotations

import argparse

from pytest_egress.errors import ProbeError

__all__ = ["add_rbac"]


def add_rbac(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    rbac = commands.add_parser(
        "rbac",
        help="print the roles that a run on a cluster needs",
        description="Print the least roles for a run on a cluster, with their bindings. Somebody "
        "who may applies them: pytest-egress rbac --account ci:tests | kubectl apply -f -",
    )
    rbac.add_argument(
        "--mode",
        default="isolated",
        metavar="MODE",
        help="isolated: a throw-away namespace (default); deployed: a test pod beside what is "
        "deployed; workload: a container in a pod that is there",
    )
    rbac.add_argument(
        "--account",
        default="default:pytest-egress",
        metavar="NAME",
        help="who gets them: NAMESPACE:NAME of a ServiceAccount (default: default:pytest-egress), "
        "user:NAME or group:NAME",
    )
    rbac.add_argument(
        "--namespace",
        default="default",
        metavar="NAME",
        help="of the test pod or workload; isolated needs none (default: default)",
    )
    rbac.add_argument(
        "--istio-namespace",
        default="istio-system",
        metavar="NAME",
        help="the mesh's root namespace (default: istio-system)",
    )
    rbac.add_argument(
        "--pod-run", action="store_true", help="with what egress.pod.run needs as well"
    )
    rbac.add_argument(
        "--certificates",
        action="store_true",
        help="with what DestinationRules with certificate files, or Secrets, need as well",
    )
    rbac.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    import yaml

    from pytest_egress.backends.cluster.rbac import EXTRAS, MODES, manifest
    from pytest_egress.contract.suggest import nearest

    mode = next((known for known in MODES if known == options.mode), None)
    if mode is None:
        close = nearest(options.mode, MODES)
        hint = f"; did you mean {close}?" if close else ""
        raise ProbeError(f"--mode={options.mode}: expected one of {', '.join(MODES)}{hint}")
    try:
        objects = manifest(
            mode,
            options.account,
            options.namespace,
            options.istio_namespace,
            [it for it in EXTRAS if getattr(options, it.replace("-", "_"))],
        )
    except ValueError as error:
        raise ProbeError(f"--account={options.account}: {error}") from None
    print(yaml.safe_dump_all(objects, sort_keys=False, explicit_start=True), end="")
    return 0

"""``pytest-egress diff``: what changes for callers from one contract to another."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType

from pytest_egress.cli.pod import enforceable, mesh_of, workload_of
from pytest_egress.contract.contract import Contract
from pytest_egress.drift import Change, compare
from pytest_egress.errors import ProbeError

__all__ = ["FORMATS", "diff"]

SCHEMA = 1
_TITLES = {"opens": "Opens", "closes": "Closes", "changes": "Goes another way"}
_SHOWN = 100  # changes of one kind in a comment


def diff(options: argparse.Namespace) -> int:
    """Compare two contracts, or one with a cluster; tell the changes.

    Returns:
        0 when callers see no difference, 1 when they do.

    Raises:
        ContractError: a contract cannot be used.
        ProbeError: the command line cannot be used.
        BackendError: the cluster cannot be read.
    """
    old, new = _sides(options)
    mesh = old.mesh
    asking = [
        workload_of(text, mesh, dns_proxy=options.dns_proxy, option="--from")
        for text in options.workload
    ]
    capture = options.dns_proxy or mesh.dns_capture
    changes = compare(old, new, asking, dns_capture=capture)
    for line in FORMATS[options.format](changes):
        print(line)
    return 1 if changes else 0


def _sides(options: argparse.Namespace) -> tuple[Contract, Contract]:
    if options.context is not None:
        if options.paths or not options.contract:
            raise ProbeError("with --context name the files with -c PATH, and no OLD and NEW")
        if options.mesh_config or options.policy:
            raise ProbeError("with --context the mesh's settings are the cluster's own")
        from pytest_egress.drift.cluster import contract_with, read_cluster

        cluster = read_cluster(options.context, istio_namespace=options.istio_namespace)
        for note in cluster.notes:
            print(f"warning: {note}", file=sys.stderr)
        files = enforceable(options.contract, cluster.contract.mesh)
        return cluster.contract, contract_with(cluster.contract, files)
    if options.contract:
        raise ProbeError("-c PATH goes with --context; without one give OLD and NEW")
    if len(options.paths) != 2:
        raise ProbeError("give two contracts, OLD and NEW: files, directories or globs")
    mesh = mesh_of(options)
    old, new = (enforceable([path], mesh) for path in options.paths)
    return old, new


def _text(changes: Sequence[Change]) -> Iterator[str]:
    if not changes:
        yield "no difference for callers"
    for change in changes:
        yield f"{change.kind:<8}{change}"
        if change.declared_by:
            yield f"{'':<8}declared at {', '.join(map(str, change.declared_by))}"


def _json(changes: Sequence[Change]) -> Iterator[str]:
    told = {"schema": SCHEMA, "changes": [change.to_json() for change in changes]}
    yield json.dumps(told, indent=2)


def _markdown(changes: Sequence[Change]) -> Iterator[str]:
    """The comment for a pull request."""
    yield "### Egress"
    yield ""
    if not changes:
        yield "No difference for callers."
    for kind, title in _TITLES.items():
        found = [change for change in changes if change.kind == kind]
        if not found:
            continue
        yield f"**{title}**"
        yield ""
        for change in found[:_SHOWN]:
            whom = f" from {', '.join(change.workloads)}" if change.workloads else ""
            how = ", ".join(change.how)
            at = f" (`{change.declared_by[0]}`)" if change.declared_by else ""
            yield f"- `{change.target}` over {how} {_escaped(change.what)}{_escaped(whom)}{at}"
        if len(found) > _SHOWN:
            yield f"- and {len(found) - _SHOWN} more"
        yield ""


def _escaped(text: str) -> str:
    for character in "\\`*_<>|":
        text = text.replace(character, f"\\{character}")
    return text


FORMATS: Mapping[str, Callable[[Sequence[Change]], Iterator[str]]] = MappingProxyType(
    {"text": _text, "json": _json, "markdown": _markdown}
)

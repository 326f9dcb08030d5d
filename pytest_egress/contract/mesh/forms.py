"""The forms that a mesh's settings come in, told apart by their content.

MeshConfig itself; a ConfigMap with ``data.mesh``, as istiod reads it; an IstioOperator; the values
of Istio's Helm charts (also below ``istiod:``, as an umbrella chart has them).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pytest_egress.contract.mesh.build import build_mesh
from pytest_egress.contract.mesh.fields import DECISIVE, HARMLESS, MESH_CONFIG
from pytest_egress.contract.mesh.helm import HELM_VALUES, check_values, defaults_of, pilot_env
from pytest_egress.contract.mesh.proto import Layer, LayeredReport, camel, canonical, overlay
from pytest_egress.contract.position import Problem
from pytest_egress.contract.reader import Document, read_documents
from pytest_egress.contract.report import Path, Report
from pytest_egress.contract.resources import MeshConfig, OutboundTrafficPolicy
from pytest_egress.contract.source import Source
from pytest_egress.contract.suggest import nearest
from pytest_egress.errors import ContractError

__all__ = ["read"]

_FIELDS = frozenset({*MESH_CONFIG.fields, *HARMLESS, *DECISIVE})
_EXPECTED = (
    "expected MeshConfig itself (such as rootNamespace: istio-system), a ConfigMap with data.mesh, "
    "an IstioOperator or values of Istio's Helm charts"
)


def read(text: str, file: str) -> tuple[MeshConfig, tuple[Problem, ...]]:
    """The mesh of a text and what is to be warned of.

    Raises:
        ContractError: with every problem, warnings included.
    """
    problems: list[Problem] = []
    source = Source(file, text)
    documents = [d for d in read_documents(source, problems) if not d.is_empty()]
    mesh = MeshConfig(OutboundTrafficPolicy("ALLOW_ANY"))
    document = _the_one(documents, problems)
    if document is not None:
        report = Report(document)
        layers = _layers(document, report, problems)
        problems.extend(report.problems)
        if layers:
            found = LayeredReport(document, layers)
            values: dict[str, Any] = {}
            for layer in layers:
                values = overlay(values, canonical(layer.value, MESH_CONFIG))
            mesh = build_mesh(values, found)
            problems.extend(found.problems)
    if any(problem.severity == "error" for problem in problems):
        raise ContractError(problems)
    return mesh, tuple(problems)


def _the_one(documents: list[Document], problems: list[Problem]) -> Document | None:
    """The document with the mesh's settings; a rendered chart has many others beside it."""
    if len(documents) <= 1:
        return documents[0] if documents else None
    known = [document for document in documents if _form(document.value) is not None]
    if len(known) == 1:
        return known[0]
    if known:
        message = "the mesh has one document: this is another one. Keep one of them"
        problems.append(Problem("error", message, known[1].position(()), "mesh/documents"))
    else:
        message = f"no document of this file is a mesh's settings: {_EXPECTED}"
        problems.append(Problem("error", message, documents[0].position(()), "mesh/form"))
    return None


_Form = Callable[[Document, Report, list[Problem]], list[Layer]]


def _form(value: Any) -> _Form | None:
    """How a document is to be read; None where it is no mesh's settings."""
    if not isinstance(value, dict):
        return None
    kind = value.get("kind")
    if kind == "ConfigMap":
        data = value.get("data")
        return _config_map if isinstance(data, dict) and "mesh" in data else None
    if kind == "IstioOperator":
        return _operator
    if kind is not None:
        return None
    names = set(value)
    if names & HELM_VALUES or isinstance(value.get("istiod"), dict):
        return _helm_values
    known = {camel(name) for name in names} & _FIELDS
    near = any(nearest(name, _FIELDS, cutoff=0.8) for name in names)
    return _mesh_config if known or near else None


def _layers(document: Document, report: Report, problems: list[Problem]) -> list[Layer]:
    value = document.value
    form = _form(value)
    if form is None:
        what = value.get("kind") if isinstance(value, dict) else None
        if what == "ConfigMap":
            message = "this ConfigMap has no data.mesh: name the one called istio"
        elif isinstance(what, str):
            message = f"this is a {what}, not a mesh's settings: {_EXPECTED}"
        else:
            message = f"not a mesh's settings: {_EXPECTED}"
        report.error("mesh/form", message, ())
        return []
    return form(document, report, problems)


def _mesh_config(document: Document, _report: Report, _problems: list[Problem]) -> list[Layer]:
    return [Layer(document.value, document)]


def _config_map(document: Document, report: Report, problems: list[Problem]) -> list[Layer]:
    """``data.mesh`` is YAML in a text; a literal block (``|``) keeps its own lines."""
    path: Path = ("data", "mesh")
    text = document.value["data"]["mesh"]
    if not isinstance(text, str):
        report.error("mesh/config-map", 'data.mesh must be a text: write "mesh: |"', path)
        return []
    pinned = None
    begin, end = document.span(path)
    whole = document.source.text
    if whole.startswith("|", begin):
        # The same lines at the same numbers: positions come out as they are in the file.
        body = whole.find("\n", begin) + 1
        text = "\n" * (document.source.position(body).line - 1) + whole[body:end]
    else:
        pinned = document.position(path)
    found: list[Problem] = []
    inner = [
        d for d in read_documents(Source(document.source.file, text), found) if not d.is_empty()
    ]
    problems.extend(replace(it, position=pinned) if pinned else it for it in found)
    if len(inner) > 1:
        report.error("mesh/documents", "data.mesh holds several documents: keep one", path)
        return []
    if not inner or found:
        return []
    if not isinstance(inner[0].value, dict):
        report.error("mesh/config-map", "data.mesh must hold a mapping, a MeshConfig", path)
        return []
    return [Layer(inner[0].value, inner[0], (), pinned)]


def _helm_values(document: Document, report: Report, _problems: list[Problem]) -> list[Layer]:
    base: Path = ()
    if not set(document.value) & HELM_VALUES:
        base = ("istiod",)  # the values of a subchart
    return _values(document, base, report)


def _values(document: Document, base: Path, report: Report) -> list[Layer]:
    """The layers of Helm values at ``base``: what a profile sets, then ``meshConfig``."""
    values = document.value
    for step in base:
        values = values[step]
    check_values(values, base, report)
    layers = [Layer(defaults_of(values), document, base)]
    if values.get("meshConfig") is not None:
        layers.extend(_mapping(document, (*base, "meshConfig"), report))
    return layers


def _operator(document: Document, report: Report, _problems: list[Problem]) -> list[Layer]:
    """``spec.values`` lies over ``spec.meshConfig``, which lies over what a profile sets."""
    spec = {} if document.value.get("spec") is None else document.value["spec"]
    if not isinstance(spec, dict):
        report.error("mesh/form", "spec must be a mapping", ("spec",))
        return []
    outer = {
        "profile": spec.get("profile"),
        "compatibilityVersion": spec.get("compatibilityVersion"),
    }
    check_values({k: v for k, v in outer.items() if v is not None}, ("spec",), report)
    path: Path = ("spec", "components", "pilot", "k8s", "env")
    pilot_env(_env_list(spec), path, report)
    lower = defaults_of(outer)
    if isinstance(spec.get("namespace"), str):
        lower = {**lower, "rootNamespace": spec["namespace"]}
    layers = [Layer(lower, document, ("spec",))]
    if spec.get("meshConfig") is not None:
        layers.extend(_mapping(document, ("spec", "meshConfig"), report))
    if spec.get("values") is not None:
        found = _mapping(document, ("spec", "values"), report)
        layers.extend(_values(document, ("spec", "values"), report) if found else [])
    return layers


def _env_list(spec: dict[str, Any]) -> dict[Any, tuple[Path, Any]]:
    """``components.pilot.k8s.env``, a list of name and value: each name with place and value."""
    holder: Any = spec
    for step in ("components", "pilot", "k8s", "env"):
        holder = holder.get(step) if isinstance(holder, dict) else None
    found: dict[Any, tuple[Path, Any]] = {}
    for i, item in enumerate(holder if isinstance(holder, list) else ()):
        if isinstance(item, dict) and isinstance(item.get("name"), str):
            found[item["name"]] = ((i,), item.get("value", ""))
    return found


def _mapping(document: Document, path: Path, report: Report) -> list[Layer]:
    value = document.value
    for step in path:
        value = value[step]
    if isinstance(value, dict):
        return [Layer(value, document, path)]
    report.error("schema/type", f"{path[-1]} must be a mapping", path)
    return []

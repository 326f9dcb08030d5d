"""Kubernetes objects to typed ones. The API server has them checked: what is odd is left alone."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from pytest_egress.contract.kubernetes.resource import (
    KubernetesPod,
    KubernetesPort,
    KubernetesService,
)
from pytest_egress.contract.metadata import read_metadata
from pytest_egress.contract.report import Locator, Report
from pytest_egress.contract.resources import Metadata

__all__ = ["read_kubernetes"]

_ALIAS = "ExternalName"  # istiod makes no service of it, only another name for one


def read_kubernetes(value: Mapping[str, Any], report: Report) -> Any:
    """The KubernetesService or KubernetesPod of an object; None where there is nothing to read.

    Nothing is reported: an object that the API server would refuse is not istiod's.
    """
    scratch = Report(report.document, (), value)
    metadata = read_metadata(value.get("metadata"), scratch)
    spec = value.get("spec")
    if scratch.problems or not isinstance(spec, dict):
        return None
    if math.isinf(metadata.creation_timestamp):
        # The cluster's own workloads were there before the contract was written.
        metadata = dataclasses.replace(metadata, creation_timestamp=0)
    try:
        if value["kind"] == "Service":
            return _service(metadata, spec, report.locate)
        if value["kind"] == "Pod":
            return _pod(metadata, spec, value.get("status") or {}, report.locate)
        return _template(metadata, spec, report.locate)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _service(
    metadata: Metadata, spec: Mapping[str, Any], locate: Locator
) -> KubernetesService | None:
    if spec.get("type") == _ALIAS:
        return None
    return KubernetesService(
        metadata,
        locate=locate,
        cluster_ip=str(spec.get("clusterIP") or ""),
        ports=tuple(
            KubernetesPort(
                int(port["port"]),
                str(port.get("name") or ""),
                str(port.get("protocol") or "TCP"),
                _of(str, port.get("appProtocol")),
                _of(int | str, port.get("targetPort")) or 0,
            )
            for port in spec.get("ports") or ()
        ),
        selector=_texts(spec.get("selector")),
    )


def _pod(
    metadata: Metadata, spec: Mapping[str, Any], status: Mapping[str, Any], locate: Locator
) -> KubernetesPod:
    return KubernetesPod(
        metadata,
        locate=locate,
        service_account=str(spec.get("serviceAccountName") or ""),
        address=str(status.get("podIP") or ""),
        ports={
            str(port["name"]): int(port["containerPort"])
            for container in spec.get("containers") or ()
            for port in container.get("ports") or ()
            if port.get("name")
        },
    )


def _template(metadata: Metadata, spec: Mapping[str, Any], locate: Locator) -> KubernetesPod:
    template = spec["template"]
    own = template.get("metadata") or {}
    labels, annotations = _texts(own.get("labels")), _texts(own.get("annotations"))
    metadata = dataclasses.replace(metadata, labels=labels, annotations=annotations)
    pod = _pod(metadata, template.get("spec") or {}, {}, locate)
    # The API server fills it in when it makes the pods.
    return dataclasses.replace(pod, service_account=pod.service_account or "default")


def _of(kind: Any, value: Any) -> Any:
    """A value that may be absent.

    Raises:
        TypeError: it is there and of another kind.
    """
    if value is not None and not isinstance(value, kind):
        raise TypeError
    return value


def _texts(value: Any) -> dict[str, str]:
    return {str(key): str(item) for key, item in (value or {}).items()}

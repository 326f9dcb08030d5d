"""A minimal Istio: what is asked of istioctl, and which images that takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_egress.errors import BackendError

__all__ = ["Istio", "is_istiod", "operator"]

_ISTIOD = "pilot"
_DEBOUNCE = "20ms"  # that istiod waits for further changes, in place of 100: a test waits as well
_HUB = "docker.io/istio"


@dataclass(frozen=True, slots=True)
class Istio:
    """Which Istio is installed, and how.

    Attributes:
        version: such as ``1.31.0``; empty: istioctl's own.
        values: a file with an IstioOperator that goes on top of the minimal one; empty: none.
        manifest: a file with rendered manifests to apply in istioctl's stead; empty: none.
    """

    version: str = ""
    values: str = ""
    manifest: str = ""

    def images(self, own_version: Callable[[], str]) -> list[str]:
        """The images of istiod and of the sidecar; ``own_version`` asks istioctl for its own.

        Raises:
            BackendError: the values cannot be read.
        """
        spec = _spec(self.values)
        hub = str(spec.get("hub") or _HUB)
        tag = str(self.version or spec.get("tag") or own_version())
        return [f"{hub}/{name}:{tag}" for name in (_ISTIOD, "proxyv2")]


def is_istiod(image: str) -> bool:
    """Whether it is the image of istiod."""
    return image.rpartition("/")[2].partition(":")[0] == _ISTIOD


def operator(version: str) -> dict[str, Any]:
    """The IstioOperator that is installed: istiod alone, small, in a closed mesh."""
    small = {"requests": {"cpu": "10m", "memory": "64Mi"}}
    spec: dict[str, Any] = {
        "profile": "minimal",
        "meshConfig": {
            "outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"},
            "accessLogFile": "/dev/stdout",
        },
        "values": {
            "global": {"imagePullPolicy": "IfNotPresent", "proxy": {"resources": small}},
            "pilot": {
                "autoscaleEnabled": False,
                "resources": small,
                "env": {"PILOT_DEBOUNCE_AFTER": _DEBOUNCE},
            },
        },
    }
    if version:
        spec["tag"] = version
    return {"apiVersion": "install.istio.io/v1alpha1", "kind": "IstioOperator", "spec": spec}


def _spec(values: str) -> Mapping[str, Any]:
    if not values:
        return {}
    import yaml

    try:
        read = yaml.safe_load(Path(values).read_text("utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise BackendError(f"cannot read {values} of --egress-istio-values", str(error)) from error
    if not isinstance(read, dict) or read.get("kind") != "IstioOperator":
        raise BackendError(
            f"{values} of --egress-istio-values is no IstioOperator",
            next_step="give a file with kind: IstioOperator, as istioctl install -f takes it",
        )
    spec = read.get("spec")
    return spec if isinstance(spec, dict) else {}

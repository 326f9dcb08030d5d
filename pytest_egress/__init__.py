"""pytest-egress: contract tests for what a pod may reach in an Istio mesh.

The names below are imported when they are first used, so that an installed but unused plugin
costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_egress.backends.local import LocalBackend
    from pytest_egress.backends.protocol import Backend
    from pytest_egress.capture.calls import Call, Calls
    from pytest_egress.contract import Contract, load, loads
    from pytest_egress.contract.position import Position, Problem
    from pytest_egress.contract.resources import MeshConfig, Workload
    from pytest_egress.egress import Egress
    from pytest_egress.errors import (
        BackendError,
        CapabilityError,
        CapturedCallError,
        ContractError,
        EgressError,
        InconclusiveError,
        NativeLibraryError,
        ProbeError,
        UncapturedProcessWarning,
    )
    from pytest_egress.evidence import Evidence
    from pytest_egress.matrix import Matrix
    from pytest_egress.outcome import Outcome, Resolution
    from pytest_egress.outcomes import Outcomes
    from pytest_egress.probe import Options
    from pytest_egress.shares import Share, Shares
    from pytest_egress.upstream import Request, Upstream, Upstreams
    from pytest_egress.verdict import Verdict

__all__ = [
    "Backend",
    "BackendError",
    "Call",
    "Calls",
    "CapabilityError",
    "CapturedCallError",
    "Contract",
    "ContractError",
    "Egress",
    "EgressError",
    "Evidence",
    "InconclusiveError",
    "LocalBackend",
    "Matrix",
    "MeshConfig",
    "NativeLibraryError",
    "Options",
    "Outcome",
    "Outcomes",
    "Position",
    "ProbeError",
    "Problem",
    "Request",
    "Resolution",
    "Share",
    "Shares",
    "UncapturedProcessWarning",
    "Upstream",
    "Upstreams",
    "Verdict",
    "Workload",
    "load",
    "loads",
]

_MODULES = {
    "backends.local": ("LocalBackend",),
    "backends.protocol": ("Backend",),
    "capture.calls": ("Call", "Calls"),
    "contract": ("Contract", "load", "loads"),
    "contract.position": ("Position", "Problem"),
    "contract.resources": ("MeshConfig", "Workload"),
    "egress": ("Egress",),
    "errors": (
        "BackendError",
        "CapabilityError",
        "CapturedCallError",
        "ContractError",
        "EgressError",
        "InconclusiveError",
        "NativeLibraryError",
        "ProbeError",
        "UncapturedProcessWarning",
    ),
    "evidence": ("Evidence",),
    "matrix": ("Matrix",),
    "outcome": ("Outcome", "Resolution"),
    "outcomes": ("Outcomes",),
    "probe": ("Options",),
    "shares": ("Share", "Shares"),
    "upstream": ("Request", "Upstream", "Upstreams"),
    "verdict": ("Verdict",),
}


def __getattr__(name: str) -> Any:
    """Import a public name on its first use (PEP 562)."""
    import importlib

    for module, names in _MODULES.items():
        if name in names:
            value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""The error tree of pytest-egress.

EgressError
├── ContractError       the contract cannot be used; every problem of every file at once
├── BackendError        the proxy or the simulated outside cannot be brought up, or was lost
├── CapabilityError     a test needs what the chosen backend cannot do: the plugin skips it
├── ProbeError          a probe was asked for something that no probe can do
├── InconclusiveError   a verdict was read although there is no proof either way
├── NativeLibraryError  a library connects in native code, out of a capture's reach
└── CapturedCallError   captured code called something outside of the contract (an AssertionError)

UncapturedProcessWarning (a UserWarning) tells of a child process that a capture cannot see.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_egress.contract.position import Problem

__all__ = [
    "BackendError",
    "CapabilityError",
    "CapturedCallError",
    "ContractError",
    "EgressError",
    "InconclusiveError",
    "NativeLibraryError",
    "ProbeError",
    "UncapturedProcessWarning",
]


class EgressError(Exception):
    """Base of every error that pytest-egress raises on purpose."""


class ContractError(EgressError):
    """A contract cannot be used.

    Attributes:
        problems: every problem that was found, errors and warnings, in file order.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


class BackendError(EgressError):
    """A backend cannot enforce the contract.

    Attributes:
        tried: what was attempted.
        output: the tail of the program's own output, possibly empty.
        next_step: what the reader can do about it, possibly empty.
    """

    def __init__(self, tried: str, output: str = "", next_step: str = "") -> None:
        self.tried = tried
        self.output = output
        self.next_step = next_step
        super().__init__(tried, output, next_step)

    def __str__(self) -> str:
        lines = [self.tried]
        if self.output:
            lines.extend(f"  | {line}" for line in self.output.rstrip().splitlines())
        if self.next_step:
            lines.append(f"next step: {self.next_step}")
        return "\n".join(lines)


class CapabilityError(EgressError):
    """A test needs what the chosen backend cannot do; the plugin makes a skip of it.

    Attributes:
        backend: the backend's name.
        capability: what is lacking, one of `pytest_egress.backends.protocol.CAPABILITIES`.
        reason: why it cannot.
    """

    def __init__(self, backend: str, capability: str, reason: str) -> None:
        self.backend = backend
        self.capability = capability
        self.reason = reason
        super().__init__(backend, capability, reason)

    def __str__(self) -> str:
        return f"backend {self.backend} lacks {self.capability}: {self.reason}"


class ProbeError(EgressError):
    """A probe was asked for something that no probe can do (a bad URL, an unknown option)."""


class InconclusiveError(EgressError):
    """A verdict was read from an outcome that has no proof either way."""


class CapturedCallError(EgressError, AssertionError):
    """Captured code made calls that the mesh refuses, or that have no proof either way."""


class NativeLibraryError(EgressError):
    """A library was about to connect in native code, which a capture cannot lead to the proxy."""


class UncapturedProcessWarning(UserWarning):
    """A process was started inside a capture: what it calls is not captured."""

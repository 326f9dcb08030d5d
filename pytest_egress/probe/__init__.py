"""One attempt to reach a destination, made in stages over plain sockets.

The standard library alone is used, and nothing else of pytest-egress: this package also runs
inside pods, as ``python -m pytest_egress.probe``. Each name is imported when it is first used.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .codec import decode_frame, encode_frame, from_json, to_json
    from .errors import FrameError, ProbeOptionError
    from .options import Options
    from .prober import Dial, Prober, attempt, connect
    from .resolver import DnsResolver, Resolver, SystemResolver
    from .result import Attempt, DnsAnswer, Failure, Headers, Response, TlsInfo
    from .target import Target

__all__ = [
    "Attempt",
    "Dial",
    "DnsAnswer",
    "DnsResolver",
    "Failure",
    "FrameError",
    "Headers",
    "Options",
    "ProbeOptionError",
    "Prober",
    "Resolver",
    "Response",
    "SystemResolver",
    "Target",
    "TlsInfo",
    "attempt",
    "connect",
    "decode_frame",
    "encode_frame",
    "from_json",
    "to_json",
]

_MODULES = {
    "codec": ("decode_frame", "encode_frame", "from_json", "to_json"),
    "errors": ("FrameError", "ProbeOptionError"),
    "options": ("Options",),
    "prober": ("Dial", "Prober", "attempt", "connect"),
    "resolver": ("DnsResolver", "Resolver", "SystemResolver"),
    "result": ("Attempt", "DnsAnswer", "Failure", "Headers", "Response", "TlsInfo"),
    "target": ("Target",),
}


def __getattr__(name: str) -> object:
    """Import a public name on its first use (PEP 562)."""
    import importlib

    for module, names in _MODULES.items():
        if name in names:
            value: object = getattr(importlib.import_module(f".{module}", __name__), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

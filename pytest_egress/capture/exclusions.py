"""What stays out of a capture: loopback, what the user names, and the plumbing of other tools."""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import lru_cache

__all__ = ["Exclusions", "is_loopback", "looks_at_the_machine", "plumbing"]

_LOCAL_NAMES = frozenset({"localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback"})
# The first module of a call chain that is one of these speaks for its own machinery: a test
# runner's channels, the API of a container engine, a debugger's wire.
_PLUMBING = frozenset({"pytest_egress", "execnet", "xdist", "testcontainers", "docker", "debugpy"})
_TRANSPORT = frozenset({"socket", "ssl", "http", "urllib", "urllib3", "requests", "asyncio"})
# Modules of Python that ask the machine about itself by a child: ldconfig, gcc, uname, lsb_release.
_LOOKING = frozenset({"ctypes.util", "platform", "uuid", "_osx_support"})
_DEPTH = 40  # frames; a client library above its transport takes a dozen


class Exclusions:
    """Hosts, globs (``*.internal``), addresses and networks that are reached directly.

    Raises:
        ValueError: an entry is empty or holds a port, a scheme or a path.
    """

    def __init__(self, entries: Iterable[str] = ()) -> None:
        self._patterns: list[str] = []
        self._networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        for entry in entries:
            text = entry.strip().lower()
            if not text or "://" in text:
                raise ValueError(f"{entry!r}: expected a host, a glob, an address or a network")
            try:
                self._networks.append(ipaddress.ip_network(text, strict=False))
            except ValueError:
                if "/" in text or ":" in text:
                    raise ValueError(
                        f"{entry!r}: expected a host, a glob, an address or a network"
                    ) from None
                self._patterns.append(text)

    def __bool__(self) -> bool:
        return bool(self._patterns or self._networks)

    def name(self, host: str) -> bool:
        """Whether a host name stays out."""
        text = host.lower().removesuffix(".")
        if text in _LOCAL_NAMES or text.endswith(".localhost"):
            return True
        return any(fnmatchcase(text, pattern) for pattern in self._patterns)

    def address(self, text: str) -> bool:
        """Whether an IP address stays out."""
        if is_loopback(text):
            return True
        if not self._networks:
            return False
        address = ipaddress.ip_address(text.partition("%")[0])
        return any(address in network for network in self._networks)


@lru_cache(maxsize=1024)
def is_loopback(text: str) -> bool:
    """Whether an IP address never leaves the machine (the unspecified one means loopback)."""
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    address = mapped or address
    return address.is_loopback or address.is_unspecified


def plumbing() -> bool:
    """Whether the connection that is about to be made belongs to a tool and not to the test."""
    frame = sys._getframe(1)  # noqa: SLF001 - the cheap way up the stack
    for _ in range(_DEPTH):
        back = frame.f_back
        if back is None:
            return False
        frame = back
        module = str(frame.f_globals.get("__name__", ""))
        root = module.partition(".")[0]
        if module.startswith("pytest_egress.capture.") or root in _TRANSPORT:
            continue
        return root in _PLUMBING
    return False


def looks_at_the_machine() -> bool:
    """Whether the child that is about to be started is Python's own, and calls nobody."""
    frame = sys._getframe(1)  # noqa: SLF001 - as above
    while (back := frame.f_back) is not None:
        frame = back
        module = str(frame.f_globals.get("__name__", ""))
        if not module.startswith(("pytest_egress.capture.", "subprocess", "os")):
            return module in _LOOKING
    return False

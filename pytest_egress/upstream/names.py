"""Host names of the simulated outside: their spelling, patterns, and default addresses."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

__all__ = [
    "Names",
    "check_address",
    "check_host",
    "check_port",
    "is_address",
    "is_name",
    "patterns",
]

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
# Benchmarking addresses (RFC 2544): they are nobody's, and no contract has a reason to name them.
_POOL = ipaddress.IPv4Network("198.18.0.0/15")


def is_address(text: str) -> bool:
    """Whether ``text`` is an IPv4 or IPv6 address."""
    return _address(text) is not None


def check_address(value: object, *, v4: bool = False) -> str:
    """Return ``value`` as an IP address in its normal spelling.

    Args:
        value: what the caller wrote.
        v4: accept IPv4 only.

    Raises:
        ValueError: it is not one.
    """
    kind = "an IPv4 address" if v4 else "an IP address"
    address = _address(value)
    if address is None or (v4 and address.version != 4):
        raise ValueError(f"expected {kind} such as '203.0.113.10', got {value!r}")
    return str(address)


def _address(value: object) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(value) if isinstance(value, str) else None
    except ValueError:
        return None


def check_port(value: object) -> int:
    """Return ``value`` as a port number.

    Raises:
        ValueError: it is not an integer between 1 and 65535.
    """
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 65536:
        return value
    raise ValueError(f"expected a port between 1 and 65535, got {value!r}")


def check_host(value: object) -> str:
    """Return ``value`` as a host: a name, a ``*.`` wildcard or an IP address, in lower case.

    A name that is not ASCII is written in its A-labels (IDNA 2003, as :mod:`socket` does).

    Raises:
        ValueError: it is none of these; the message names the nearest thing that is.
    """
    expected = "expected a host such as 'api.example.com', '*.example.com' or '203.0.113.10'"
    if not isinstance(value, str):
        raise ValueError(f"{expected}, got {value!r}")  # noqa: TRY004  one error for bad arguments
    if is_address(value):
        return check_address(value)
    name = value.lower().removesuffix(".")
    if not name.isascii():
        try:
            name = name.encode("idna").decode("ascii")
        except UnicodeError as error:
            raise ValueError(f"{expected}, got {value!r}: {error}") from None
    if is_name(name.removeprefix("*.")):
        return name
    raise ValueError(f"{expected}, got {value!r}{_nearest(name)}")


def is_name(name: str) -> bool:
    """Whether ``name`` is a host name in lower case: no wildcard, no address, no last dot."""
    return (
        not is_address(name)
        and len(name) < 254
        and all(_LABEL.fullmatch(label) for label in name.split("."))
    )


def _nearest(name: str) -> str:
    """Guess what was meant by a host that is written as a URL or together with a port."""
    host = re.sub(r"^[a-z][a-z0-9+.-]*://", "", name).split("/")[0].rpartition("@")[2]
    bare, _, port = host.partition(":")
    if not is_name(bare.removeprefix("*.")):
        return ""
    if port.isdecimal():
        return f"; did you mean host({bare!r}, {port})?"
    return f"; did you mean {bare!r}?"


def patterns(name: str) -> Iterator[str]:
    """Yield the patterns that ``name`` falls under, the most telling first.

    ``*.example.com`` covers every depth below ``example.com``, as a wildcard host of a
    ServiceEntry does, but not ``example.com`` itself.
    """
    yield name
    rest = name.removeprefix("*.")
    while "." in rest:
        rest = rest.partition(".")[2]
        yield "*." + rest


class Names:
    """Gives each name one address of 198.18.0.0/15, in the order of first use, and keeps it.

    A name may be assigned another address, such as the one a contract declares for it.
    """

    def __init__(self) -> None:
        self._addresses: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._given = 0

    def address(self, name: str) -> str:
        """Return the address of ``name``, the next free one when it has none yet.

        Raises:
            LookupError: all 131,070 are taken.
        """
        known = self._addresses.get(name)
        if known is None:
            self._given += 1
            number = self._given
            if number >= _POOL.num_addresses - 1:
                raise LookupError(f"no address is left in {_POOL} for {name!r}")
            known = str(_POOL[number])
            self._addresses[name] = known
            self._names[known] = name
        return known

    def assign(self, name: str, address: str) -> None:
        """Let ``address`` be the address of ``name`` from now on."""
        self._addresses[name] = address
        self._names.setdefault(address, name)

    def known(self, name: str) -> str | None:
        """Return the address of ``name`` if it has one already."""
        return self._addresses.get(name)

    def name(self, address: str) -> str | None:
        """Return the name whose default address this is."""
        return self._names.get(address)

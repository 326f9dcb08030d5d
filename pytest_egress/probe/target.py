"""What a probe is aimed at: a URL reduced to scheme, host, port and path."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from .errors import ProbeOptionError

__all__ = ["DEFAULT_PORTS", "Target", "is_address"]

DEFAULT_PORTS: dict[str, int | None] = {
    "http": 80,
    "https": 443,
    "tls": 443,
    "tcp": None,
    "grpc": 80,
    "grpcs": 443,
}
"""The schemes a probe speaks, each with the port it implies; None: the port must be written."""

# What people write for one of the schemes above; difflib would not find these.
_OTHER_SPELLINGS = {
    "ws": "http",
    "wss": "https",
    "h2": "https",
    "h2c": "http",
    "ssl": "tls",
    "mysql": "tcp",
    "mongodb": "tcp",
    "redis": "tcp",
    "rediss": "tls",
    "postgres": "tcp",
    "postgresql": "tcp",
}
_HOST_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_.")


@dataclass(frozen=True, slots=True)
class Target:
    """The destination of one attempt.

    Attributes:
        scheme: ``http``, ``https``, ``tls``, ``tcp``, ``grpc`` or ``grpcs``.
        host: a lower-case ASCII name (internationalised names in their ``xn--`` form) or an IP
            address without brackets. A trailing dot is kept: it switches search domains off.
        port: 1 to 65535.
        path: path and query as sent, beginning with ``/``; empty for ``tls`` and ``tcp``.
    """

    scheme: str
    host: str
    port: int
    path: str = ""

    def __post_init__(self) -> None:
        if self.scheme not in DEFAULT_PORTS:
            raise ProbeOptionError(_scheme_problem(self.scheme, str(self.host)))
        if not self.host or any(ch <= " " or ch > "~" for ch in self.host + self.path):
            raise ProbeOptionError(f"{self.host!r}{self.path!r}: expected visible ASCII only")
        if not 0 < self.port < 65536:
            raise ProbeOptionError(f"port {self.port}: expected 1 to 65535")

    @classmethod
    def parse(cls, url: str) -> Target:
        """Read ``scheme://host[:port][/path][?query]``; a fragment is dropped.

        Internationalised names are encoded by IDNA 2003 (RFC 3490), the standard library's.

        Raises:
            ProbeOptionError: with what was expected and, for a scheme, the nearest spelling.
        """
        scheme, separator, rest = url.strip().partition("://")
        scheme = scheme.lower()
        if not separator or scheme not in DEFAULT_PORTS:
            raise ProbeOptionError(_scheme_problem(scheme if separator else "", url))
        end = min((at for at in map(rest.find, "/?#") if at >= 0), default=len(rest))
        host, port_text = _split_authority(rest[:end], url)
        port = DEFAULT_PORTS[scheme]
        if port_text is not None:
            port = _port(port_text, url)
        elif port is None:
            raise ProbeOptionError(f"{url}: {scheme} has no default port, expected {url}:<port>")
        path = _path(rest[end:].partition("#")[0], url)
        if scheme in {"tcp", "tls"}:
            if path != "/":
                raise ProbeOptionError(
                    f"{url}: {scheme} has no path, expected {scheme}://{rest[:end]}"
                )
            path = ""
        return cls(scheme, _host(host, url), port, path)

    def __str__(self) -> str:
        return f"{self.scheme}://{_bracketed(self.host)}:{self.port}{self.path}"

    @property
    def secure(self) -> bool:
        """Whether the scheme begins with a TLS handshake."""
        return self.scheme in {"https", "tls", "grpcs"}

    @property
    def name(self) -> str:
        """The host without its trailing dot: what SNI carries and what a certificate names."""
        return self.host.removesuffix(".")

    @property
    def authority(self) -> str:
        """What ``Host`` and ``:authority`` carry: the port only where it is not the default."""
        host = _bracketed(self.host)
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


def is_address(text: str) -> bool:
    """Whether the text is an IPv4 or IPv6 address (no brackets, no zone)."""
    try:
        socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)
    except (OSError, ValueError):
        return False
    return True


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _scheme_problem(scheme: str, url: str) -> str:
    import difflib

    expected = "expected scheme://host[:port][/path] with a scheme of " + ", ".join(DEFAULT_PORTS)
    if not scheme:
        return f"{url!r} has no scheme: {expected}; did you mean https://{url.strip()}?"
    near = _OTHER_SPELLINGS.get(scheme) or next(
        iter(difflib.get_close_matches(scheme, DEFAULT_PORTS, 1, 0.5)), ""
    )
    return f"{url}: unknown scheme {scheme!r}: {expected}" + (
        f"; did you mean {near}://?" if near else ""
    )


def _split_authority(authority: str, url: str) -> tuple[str, str | None]:
    if "@" in authority:
        raise ProbeOptionError(f"{url}: expected no user information before the host")
    if authority.startswith("["):
        host, bracket, rest = authority.partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ProbeOptionError(f"{url}: expected [IPv6 address] or [IPv6 address]:port")
        return host + bracket, rest[1:] if rest else None
    host, colon, port = authority.partition(":")
    if ":" in port:
        raise ProbeOptionError(f"{url}: expected brackets around an IPv6 address, as in [::1]:443")
    return host, port if colon else None


def _port(text: str, url: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) < 65536):
        raise ProbeOptionError(f"{url}: port {text!r}: expected 1 to 65535")
    return int(text)


def _host(text: str, url: str) -> str:
    if text.startswith("["):
        if not is_address(text[1:-1]) or ":" not in text:
            raise ProbeOptionError(f"{url}: {text} is not an IPv6 address")
        return socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, text[1:-1]))
    if "*" in text:
        raise ProbeOptionError(f"{url}: expected one host; a wildcard names many")
    if not text.isascii():
        try:
            text = text.encode("idna").decode("ascii")
        except UnicodeError as error:
            raise ProbeOptionError(f"{url}: {text!r} is not a valid IDNA name: {error}") from error
    host = text.lower()
    if is_address(host):
        return host
    labels = host.removesuffix(".").split(".")
    if labels[-1].isdigit():
        raise ProbeOptionError(f"{url}: {host} is not an IPv4 address, expected four octets")
    if (
        len(host) > 254
        or not _HOST_CHARACTERS.issuperset(host)
        or any(not 0 < len(x) < 64 or x[0] == "-" or x[-1] == "-" for x in labels)
    ):
        raise ProbeOptionError(
            f"{url}: host {host!r}: expected labels of 1 to 63 letters, digits, '-' or '_',"
            " separated by dots"
        )
    return host


def _path(text: str, url: str) -> str:
    if any(ch < " " or ch == "\x7f" for ch in text):
        raise ProbeOptionError(f"{url!r}: expected no control characters")
    path = text if text.startswith("/") else "/" + text
    # Everything that a request line cannot carry is percent-encoded (RFC 3986 2.1).
    return "".join(
        ch if "!" <= ch <= "~" else "".join(f"%{octet:02X}" for octet in ch.encode()) for ch in path
    )

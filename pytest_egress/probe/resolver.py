"""Looking names up: the system's resolver, or one DNS server asked directly."""

from __future__ import annotations

import os
import socket
import time
from typing import Protocol

from . import dns
from .result import DnsAnswer

__all__ = ["DnsResolver", "Resolver", "SystemResolver"]

_SECOND_ANSWER_DELAY = 0.05
"""Seconds to wait for the other family once one has addresses (RFC 8305 3)."""


class Resolver(Protocol):
    """Something that looks names up."""

    def lookup(self, name: str, family: int, timeout: float) -> DnsAnswer:
        """Look a name up; a failure is an answer with another rcode, never an exception.

        Args:
            name: ASCII name, with or without a trailing dot.
            family: ``socket.AF_INET``, ``AF_INET6`` or ``AF_UNSPEC`` for both.
            timeout: seconds after which the answer is ``TIMEOUT``.
        """
        ...


class SystemResolver:
    """``getaddrinfo``: hosts file, search domains and all, as the application would see it."""

    __slots__ = ()

    def lookup(self, name: str, family: int, timeout: float) -> DnsAnswer:
        """Look a name up in a thread of its own, since getaddrinfo knows no timeout.

        EAI_NONAME is reported as NXDOMAIN, EAI_NODATA as NOERROR without addresses, EAI_AGAIN
        and EAI_FAIL as SERVFAIL.
        """
        import threading

        started = time.monotonic()
        results: list[tuple[str, tuple[str, ...]]] = []
        thread = threading.Thread(
            target=lambda: results.append(_getaddrinfo(name, family)),
            name="egress-probe-lookup",
            daemon=True,
        )
        thread.start()
        thread.join(timeout)
        rcode, addresses = results[0] if results else ("TIMEOUT", ())
        return DnsAnswer(name, rcode, addresses, elapsed=time.monotonic() - started)


def _getaddrinfo(name: str, family: int) -> tuple[str, tuple[str, ...]]:
    try:
        found = socket.getaddrinfo(name, None, family, socket.SOCK_STREAM)
    except socket.gaierror as error:
        codes = {
            socket.EAI_NONAME: "NXDOMAIN",
            getattr(socket, "EAI_NODATA", None): "NOERROR",
            getattr(socket, "EAI_ADDRFAMILY", None): "NOERROR",
        }
        return codes.get(error.errno, "SERVFAIL"), ()
    except UnicodeError:
        return "FORMERR", ()  # a name that no query can carry
    except OSError:
        return "SERVFAIL", ()
    return "NOERROR", tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


class DnsResolver:
    """One DNS server, asked over UDP and, for a truncated answer, over TCP; no retries.

    Args:
        server: IP address and port of the server.
    """

    __slots__ = ("server",)

    def __init__(self, server: tuple[str, int]) -> None:
        self.server = server

    def lookup(self, name: str, family: int, timeout: float) -> DnsAnswer:
        """Ask for A and AAAA at once; answers to other questions are ignored.

        ``TIMEOUT``, ``UNREACHABLE`` and ``MALFORMED`` stand for an answer that never came, a
        server that is not there, and an answer that cannot be read.
        """
        started = time.monotonic()
        deadline = started + timeout
        types: tuple[int, ...] = (dns.TYPE_A, dns.TYPE_AAAA)
        if family in {socket.AF_INET, socket.AF_INET6}:
            types = (dns.TYPE_A,) if family == socket.AF_INET else (dns.TYPE_AAAA,)
        answers: dict[int, dns.Message] = {}
        rcode = "TIMEOUT"
        try:
            self._ask(name, types, answers, deadline)
        except TimeoutError:
            rcode = "TIMEOUT"
        except OSError:
            rcode = "UNREACHABLE"
        except dns.DnsFormatError:
            rcode = "MALFORMED"
        in_order = [answers[qtype] for qtype in types if qtype in answers]
        addresses = tuple(address for answer in in_order for address in answer.addresses)
        if addresses:
            rcode = "NOERROR"
        elif len(in_order) == len(types):
            rcode = next((x.rcode for x in in_order if x.rcode != "NOERROR"), "NOERROR")
        cnames = max((answer.cnames for answer in in_order), key=len, default=())
        ttls = [answer.ttl for answer in in_order if answer.ttl is not None]
        elapsed = time.monotonic() - started
        return DnsAnswer(name, rcode, addresses, cnames, min(ttls, default=None), elapsed)

    def _ask(
        self,
        name: str,
        types: tuple[int, ...],
        answers: dict[int, dns.Message],
        deadline: float,
    ) -> None:
        first = int.from_bytes(os.urandom(2), "big")
        queries = {
            qtype: dns.encode_query((first + nth) & 0xFFFF, name, qtype)
            for nth, qtype in enumerate(types)
        }
        family = socket.AF_INET6 if ":" in self.server[0] else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            # Connected: the kernel drops what others send, and reports a closed port.
            _connect(sock, self.server)
            for query in queries.values():
                sock.send(query)
            while len(answers) < len(queries):
                until = deadline
                if any(answer.addresses for answer in answers.values()):
                    until = min(deadline, time.monotonic() + _SECOND_ANSWER_DELAY)
                sock.settimeout(_left(until))
                data = sock.recv(65535)
                for qtype, query in queries.items():
                    answer = dns.parse_answer(data, query) if qtype not in answers else None
                    if answer is not None and answer.truncated:
                        answer = self._over_tcp(query, deadline)
                    if answer is not None:
                        answers[qtype] = answer

    def _over_tcp(self, query: bytes, deadline: float) -> dns.Message:
        family = socket.AF_INET6 if ":" in self.server[0] else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            sock.settimeout(_left(deadline))
            _connect(sock, self.server)
            sock.sendall(len(query).to_bytes(2, "big") + query)
            length = int.from_bytes(_exactly(sock, 2, deadline), "big")
            answer = dns.parse_answer(_exactly(sock, length, deadline), query)
        if answer is None or answer.truncated:
            raise dns.DnsFormatError("an answer over TCP that is not the answer")
        return answer


def _connect(sock: socket.socket, server: tuple[str, int]) -> None:
    # By the operating system's own: test tools replace Python's for the test's connections.
    super(socket.socket, sock).connect(server)


def _exactly(sock: socket.socket, count: int, deadline: float) -> bytes:
    data = b""
    while len(data) < count:
        sock.settimeout(_left(deadline))
        more = sock.recv(count - len(data))
        if not more:
            raise dns.DnsFormatError("an answer over TCP that ends too early")
        data += more
    return data


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left

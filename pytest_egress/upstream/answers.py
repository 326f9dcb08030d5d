"""What an HTTP request is answered: by the scripts that hold for it, else with what it was."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass

from pytest_egress.received import Headers, Request
from pytest_egress.upstream.conduct import (
    GRPC_STATUS,
    Grpc,
    Hang,
    Refuse,
    Reset,
    Respond,
    Serve,
    Silent,
)
from pytest_egress.upstream.link import Link
from pytest_egress.upstream.site import TOKEN_HEADER

__all__ = [
    "Answer",
    "Reset",
    "Silent",
    "bare_host",
    "decide",
    "is_served",
    "most_kept",
    "request_of",
]

_HEALTH_CHECK = "/grpc.health.v1.Health/Check"
_SERVING = b"\0\0\0\0\2\x08\1"  # one message of two bytes: field 1 (status) is 1 (SERVING)
_MOST_KEPT = 1 << 20  # bytes of a request's body, in its record
_UNIMPLEMENTED = 12


@dataclass(frozen=True, slots=True)
class Answer:
    """One response; ``delay`` is how many seconds it waits."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    trailers: tuple[tuple[str, str], ...] = ()
    delay: float = 0.0


def bare_host(authority: str) -> str:
    """Return the host of a Host header or ``:authority``: lower case, no port, no brackets."""
    host = authority.strip().rpartition("@")[2].lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].removesuffix(".")


def most_kept(link: Link, authority: str) -> int:
    """Return how many bytes of a request's body are kept: all where an application reads it."""
    return sys.maxsize if is_served(link, bare_host(authority)) else _MOST_KEPT


def is_served(link: Link, host: str) -> bool:
    """Whether an application of the user's answers, which may take its time."""
    return isinstance(link.effect(host, link.record.sni).conduct, Serve)


def request_of(
    link: Link,
    *,
    method: str,
    path: str,
    authority: str,
    headers: list[tuple[str, str]],
    body: bytes,
    http_version: str,
) -> Request:
    """Make the record of a request that came over ``link``, and keep it."""
    host = bare_host(authority)
    request = Request(
        method=method,
        path=path,
        headers=Headers(headers),
        body=body,
        host=host,
        sni=link.record.sni,
        http_version=http_version,
        address=link.address,
        port=link.port,
        tls=link.tls,
        client_certificate=link.record.client_certificate,
        client=link.record.client,
        names=link.names(host, link.record.sni),
    )
    link.record.asked = request.host
    link.record.answered = False
    link.site.journal.add_request(request, link.record)
    return request


def decide(link: Link, request: Request) -> Answer | Silent | Reset:
    """Return what ``request`` is answered; a failure that was scripted is used up by that."""
    names = request.names
    rules = link.site.rules
    effect = rules.effect(names, link.address, link.port)
    conduct = effect.conduct
    if isinstance(conduct, (Silent, Hang)):
        return Silent()
    if isinstance(conduct, (Reset, Refuse)):
        return Reset()
    token = (TOKEN_HEADER, link.site.token)
    delay = rules.delay(names, link.address, link.port)
    failure = rules.failure(names, link.address, link.port)
    if isinstance(failure, Reset):
        return failure
    if isinstance(failure, int):
        headers = (token, ("content-type", "text/plain"))
        return Answer(failure, headers, f"{failure}\n".encode(), delay=delay)
    is_grpc = request.http_version == "HTTP/2" and request.headers.get(
        "content-type", ""
    ).startswith("application/grpc")
    if isinstance(failure, Grpc):
        return _grpc(request, failure, token, delay)
    if is_grpc and (effect.grpc or not isinstance(conduct, (Respond, Serve))):
        return _grpc(request, effect.grpc, token, delay)
    if isinstance(conduct, Serve):
        answered = conduct.answering.answer(request)
        if answered is None:
            return Reset()
        conduct = answered
    if isinstance(conduct, Respond):
        return Answer(conduct.status, (token, *conduct.headers), conduct.body, delay=delay)
    return Answer(
        200,
        (token, ("content-type", "application/json")),
        _description(link, request),
        delay=delay,
    )


def _description(link: Link, request: Request) -> bytes:
    """The body of the default answer: the request as it arrived."""
    upstream = next(iter(request.names), "")
    description = {
        "upstream": upstream,
        "address": link.address or link.site.zone.known_address(upstream),
        "port": link.port,
        "method": request.method,
        "path": request.path,
        "http_version": request.http_version,
    }
    return json.dumps(description).encode() + b"\n"


def _grpc(request: Request, scripted: Grpc | None, token: tuple[str, str], delay: float) -> Answer:
    """Answer a gRPC call (gRPC over HTTP/2, section "Responses")."""
    headers = (token, ("content-type", "application/grpc"))
    health = request.path == _HEALTH_CHECK
    if scripted is None:
        scripted = (
            Grpc(0, "")
            if health
            else Grpc(_UNIMPLEMENTED, f"{GRPC_STATUS[_UNIMPLEMENTED]}: {request.path}")
        )
    status: tuple[tuple[str, str], ...] = (("grpc-status", str(scripted.code)),)
    if scripted.message:
        from urllib.parse import quote

        status += (("grpc-message", quote(scripted.message, safe=" /:.,;!?()[]{}'\"=+-_@#&*<>")),)
    if scripted.code == 0 and health:
        return Answer(200, headers, _SERVING, status, delay)
    # Trailers only: the status stands in the one header block.
    return Answer(200, headers + status, b"", (), delay)

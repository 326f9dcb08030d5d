"""A unary gRPC call over HTTP/2, by default the health check (grpc.health.v1.Health/Check)."""

from __future__ import annotations

import dataclasses

from . import http2
from .options import Options
from .result import Response
from .target import Target
from .wire import StageFailure, Wire

__all__ = ["HEALTH_CHECK", "exchange", "health_request", "serving_status"]

HEALTH_CHECK = "/grpc.health.v1.Health/Check"
_SERVING = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")


def exchange(wire: Wire, target: Target, options: Options) -> Response:
    """Call the method that the target's path names (``/``: the health check).

    The message is ``options.body``, for the health check a request for ``options.grpc_service``.
    A status other than OK is a completed call: the server, or the mesh in its place, has answered.

    Raises:
        StageFailure: as HTTP/2 does, and ``protocol`` for an answer that is not gRPC.
    """
    health = target.path in {"", "/", HEALTH_CHECK}
    message = health_request(options.grpc_service) if health else options.body or b""
    host = target.authority if options.host_header is None else options.host_header
    pseudo = [
        (":method", "POST"),
        (":scheme", "https" if target.secure else "http"),
        (":authority", host),
        (":path", HEALTH_CHECK if health else target.path),
    ]
    own = [("te", "trailers"), ("content-type", "application/grpc")]
    given = {name.lower() for name, _ in options.headers}
    if "user-agent" not in given:
        own.append(("user-agent", "pytest-egress"))
    response = http2.exchange(
        wire,
        pseudo,
        own + [pair for pair in options.headers if pair[0].lower() not in {"te", "content-type"}],
        b"\0" + len(message).to_bytes(4, "big") + message,
        max_body=options.max_body,
    )
    return _read(response, health=health)


def health_request(service: str) -> bytes:
    """Return a HealthCheckRequest: field 1, the service's name; empty for the whole server."""
    name = service.encode()
    return b"\x0a" + _varint(len(name)) + name if name else b""


def serving_status(message: bytes) -> str | None:
    """Return the status of a HealthCheckResponse (field 1); None if it cannot be read."""
    at = status = 0
    try:
        while at < len(message):
            key, at = _read_varint(message, at)
            if key & 7 == 0:
                value, at = _read_varint(message, at)
                status = value if key == 0x08 else status
            elif key & 7 == 2:
                length, at = _read_varint(message, at)
                at += length
            elif key & 7 in {1, 5}:
                at += 8 if key & 7 == 1 else 4
            else:
                return None
    except IndexError:
        return None
    if at > len(message):
        return None
    return _SERVING[status] if status < len(_SERVING) else str(status)


def _read(response: Response, *, health: bool) -> Response:
    # Trailers-only: the status stands among the header fields.
    holder = response.headers if response.headers.get("grpc-status") else response.trailers
    status = holder.get("grpc-status")
    if status is None:
        if response.status != 200 or response.truncated:
            return response
        kind = response.headers.get("content-type", "none")
        failure = StageFailure(
            "protocol", f"not a gRPC answer: no grpc-status, content-type {kind}"
        )
        failure.response = response
        raise failure
    if not (status.isascii() and status.isdigit() and len(status) < 10):
        failure = StageFailure("protocol", f"grpc-status {status!r} is not a number")
        failure.response = response
        raise failure
    body = response.body
    whole = len(body) >= 5 and not body[0] and len(body) == 5 + int.from_bytes(body[1:5], "big")
    return dataclasses.replace(
        response,
        grpc_status=int(status),
        grpc_message=_percent_decoded(holder.get("grpc-message") or ""),
        serving=serving_status(body[5:]) if health and whole and status == "0" else None,
    )


def _percent_decoded(text: str) -> str:
    import re

    # What is not an escape is kept as it stands.
    decoded = re.sub(
        rb"%([0-9A-Fa-f]{2})",
        lambda escape: bytes([int(escape[1], 16)]),
        text.encode("latin-1"),
    )
    return decoded.decode("utf-8", "replace")


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        octet = data[at]
        at += 1
        value |= (octet & 0x7F) << shift
        if not octet & 0x80:
            return value, at
    raise IndexError

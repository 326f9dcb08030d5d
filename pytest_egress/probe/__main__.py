"""One attempt for another process: a JSON request on stdin, one frame on stdout.

The request is ``{"target": ..., "options": ..., "dns": [address, port] or null}``; the answer is
``{"attempt": ...}``, or ``{"error": ...}`` with exit code 2 for a request that cannot be honoured.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from .codec import encode_frame, from_json, to_json
from .errors import ProbeOptionError
from .options import Options
from .prober import Prober
from .resolver import DnsResolver, Resolver
from .target import Target, is_address

__all__ = ["main", "serve"]


def serve(request: str) -> dict[str, Any]:
    """Return the answer to a request.

    Raises:
        ProbeOptionError: the request cannot be honoured.
    """
    try:
        data = json.loads(request)
    except ValueError as error:
        raise ProbeOptionError(f"the request is not JSON: {error}") from error
    if not isinstance(data, dict) or not {"target"} <= set(data) <= {"target", "options", "dns"}:
        raise ProbeOptionError("expected an object with target and, optionally, options and dns")
    target = from_json(Target, data["target"])
    options = from_json(Options, data.get("options") or {})
    return {
        "attempt": to_json(Prober(resolver=_resolver(data.get("dns"))).attempt(target, options))
    }


def _resolver(server: Any) -> Resolver | None:
    if server is None:
        return None
    match server:
        case [str(address), int(port)] if is_address(address) and 0 < port < 65536:
            return DnsResolver((address, port))
    raise ProbeOptionError(f"dns {server!r}: expected [IP address, port]")


def main() -> int:
    """Serve the request on stdin; returns the exit code."""
    try:
        answer = serve(sys.stdin.read())
    except ProbeOptionError as error:
        sys.stdout.write(encode_frame({"error": str(error)}))
        return 2
    sys.stdout.write(encode_frame(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Answers that VCR has recorded: cassettes as vcrpy writes them, in YAML or JSON."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from pytest_egress.received import Request
from pytest_egress.upstream.application import as_fields, place_of
from pytest_egress.upstream.conduct import Answering, Respond
from pytest_egress.upstream.names import is_address

__all__ = ["Cassettes", "read_cassettes"]

_ENDINGS = {".yaml", ".yml", ".json"}
_PORTS = {"http": 80, "https": 443}
_MOST_TOLD = 10  # interactions in the text for a request that has none


@dataclass(frozen=True, slots=True)
class _Asked:
    """What tells one recorded request from another."""

    method: str
    host: str
    path: str
    query: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, method: str, host: str, target: str) -> _Asked:
        path, _, query = target.partition("?")
        pairs = parse_qsl(query, keep_blank_values=True)
        return cls(method.upper(), host, path or "/", tuple(sorted(pairs)))


@dataclass(frozen=True, slots=True)
class _Interaction:
    """One recorded request, as it is told and as it is compared, and its answer."""

    uri: str
    scheme: str
    port: int
    asked: _Asked
    answer: Respond


class Cassettes(Answering):
    """What VCR has recorded, played back.

    A request is answered by the interaction with its method, host, path and query (in any order);
    of several that differ in scheme or port alone, by that with its own. What was recorded several
    times is answered in that order, and the last answer stays. Anything else is answered 501, with
    what is recorded.
    """

    def __init__(self, path: Path, interactions: list[_Interaction]) -> None:
        self._path = path
        self._interactions = interactions
        self._played: dict[tuple[_Asked, str, int], int] = {}
        self._lock = threading.Lock()

    def answer(self, request: Request) -> Respond:
        """Return the next recorded answer to a request."""
        scheme, host, port = place_of(request)
        target = request.path
        if "://" in target:  # absolute-form
            target = "/" + target.partition("://")[2].partition("/")[2]
        hosts = {host} if not is_address(host) else {host, *request.names}
        wanted = {_Asked.of(request.method, name, target) for name in hosts}
        found = [each for each in self._interactions if each.asked in wanted]
        if not found:
            return self._unknown(
                f"{request.method} {scheme}://{_place(scheme, host, port)}{target}"
            )
        exact = [each for each in found if (each.scheme, each.port) == (scheme, port)]
        found = exact or found
        key = (found[0].asked, scheme, port)
        with self._lock:
            turn = self._played.get(key, 0)
            self._played[key] = turn + 1
        return found[min(turn, len(found) - 1)].answer

    def _unknown(self, what: str) -> Respond:
        told = [f"  {it.asked.method} {it.uri}" for it in self._interactions[:_MOST_TOLD]]
        if len(self._interactions) > _MOST_TOLD:
            told.append(f"  ... and {len(self._interactions) - _MOST_TOLD} more")
        lines = [f"no interaction of {self._path} answers {what}", "recorded are:", *told]
        headers = (("content-type", "text/plain; charset=utf-8"),)
        return Respond(HTTPStatus.NOT_IMPLEMENTED, headers, ("\n".join(lines) + "\n").encode())


def _place(scheme: str, host: str, port: int) -> str:
    return host if _PORTS[scheme] == port else f"{host}:{port}"


def read_cassettes(path: Path) -> Cassettes:
    """Read a cassette, or every cassette (``*.yaml``, ``*.yml``, ``*.json``) below a directory.

    Raises:
        ValueError: there is none, or one is not as vcrpy writes it; with its file, and its line
            where that is known.
    """
    files = [path]
    if path.is_dir():
        files = sorted(it for it in path.rglob("*") if it.suffix in _ENDINGS and it.is_file())
        if not files:
            raise ValueError(f"{path}: expected VCR cassettes (*.yaml, *.yml, *.json), found none")
    return Cassettes(path, [each for file in files for each in _read(file)])


def _read(file: Path) -> Iterator[_Interaction]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{file}: expected a VCR cassette: {error}") from None
    data = _parse(file, text)
    interactions = data.get("interactions") if isinstance(data, dict) else None
    if not isinstance(interactions, list):
        hint = ""
        if isinstance(data, dict) and "http_interactions" in data:
            hint = ", got one of Ruby's VCR"
        raise ValueError(  # noqa: TRY004 - it is the argument's value that is wrong
            f"{file}: expected a VCR cassette (a list `interactions`){hint}"
        )
    for number, interaction in enumerate(interactions, 1):
        yield _checked(file, number, interaction)


def _checked(file: Path, number: int, interaction: Any) -> _Interaction:
    try:
        return _interaction(interaction)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(
            f"{file}: interaction {number}: expected request and response as vcrpy writes "
            f"them: {reason}"
        ) from None


def _parse(file: Path, text: str) -> Any:
    if text.lstrip().startswith("{"):
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"{file}:{error.lineno}:{error.colno}: {error.msg}") from None
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return yaml.load(text, loader)  # noqa: S506 - it is a safe loader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise ValueError(f"{file}{place}: {error.problem}") from None
    except yaml.YAMLError as error:
        raise ValueError(f"{file}: {error}") from None


def _interaction(data: Mapping[str, Any]) -> _Interaction:
    request, response = data["request"], data["response"]
    uri = str(request["uri"])
    parts = urlsplit(uri)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError(f"the uri {uri!r} is none of http or https")
    target = f"{parts.path or '/'}?{parts.query}"
    return _Interaction(
        uri,
        parts.scheme,
        parts.port or _PORTS[parts.scheme],
        _Asked.of(str(request["method"]), parts.hostname, target),
        _answer(response),
    )


def _answer(response: Mapping[str, Any]) -> Respond:
    # Before version 6, httpx's answers were written in a form of their own.
    status = response["status_code"] if "status_code" in response else response["status"]["code"]
    content = response["body"] if "body" in response else response["content"]
    headers: list[tuple[str, str]] = []
    for name, values in (response.get("headers") or {}).items():
        several = values if isinstance(values, list) else [values]
        headers += [(str(name), str(value)) for value in several]
    body = _body(content)
    kept = [
        (name, value)
        for name, value in headers
        if name.lower() != "content-encoding" or _is_encoded(body, value)
    ]
    return Respond(int(status), as_fields(kept), body)


def _is_encoded(body: bytes, encoding: str) -> bool:
    """Whether a body is still compressed: vcrpy keeps the header of some that it has unpacked."""
    if encoding.lower() in {"gzip", "x-gzip"}:
        return body.startswith(b"\x1f\x8b")
    try:
        body.decode()
    except UnicodeDecodeError:
        return True
    return False


def _body(content: Any) -> bytes:
    if isinstance(content, Mapping):
        if "base64_string" in content:
            return base64.b64decode(content["base64_string"], validate=True)
        content = content.get("string")
    if content is None:
        return b""
    if isinstance(content, str):
        return content.encode()
    if isinstance(content, bytes):
        return content
    raise ValueError(f"a body is text or bytes, not {type(content).__name__}")

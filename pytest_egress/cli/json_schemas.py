"""The JSON Schemas of what the commands read and print, by name.

``schema`` in an output grows when a field changes its meaning or goes away, not when one is added:
who reads one has to leave fields alone that it does not know.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from pytest_egress.cli.schema_parts import (
    Schema,
    having,
    listed,
    mapped,
    or_null,
    text,
    texts,
    truth,
    whole,
)
from pytest_egress.verdict import Verdict

__all__ = ["SCHEMAS", "Published"]

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_OF_ISTIOD = (
    *("allowed", "passthrough", "blocked", "no_cluster", "no_route", "redirect"),
    "direct_response",
)


class Published(NamedTuple):
    """A schema that is published.

    Attributes:
        of: what it is the schema of.
        make: makes it; nothing is made before it is asked for.
    """

    of: str
    make: Callable[[], Schema]


_ID: Schema = {"description": "given back as it came; null where a line could not be read"}
_VERSION: Schema = {"const": 1, "description": "of this format"}
_ERRORS = texts("why there is no answer")
_PLACES = texts("file:line:column of what declares it")


def _verdict(means: str) -> Schema:
    return text(means, *(verdict.value for verdict in Verdict))


def _place() -> dict[str, Schema]:
    return {
        "file": text("path, as it was named"),
        "line": whole("from 1", 1),
        "column": whole("from 1", 1),
    }


def _subject() -> Schema:
    return having(
        {
            "kind": text("its kind"),
            "namespace": text("as written; empty: not said"),
            "name": text("its name"),
        },
        "the object that it is of, where it is of one",
    )


def _probe() -> Schema:
    evidence = {
        "listener": text("Envoy's name of it"),
        "filter_chain": text("its name; empty: it has none"),
        "route": text("its name, of HTTP"),
        "rule": text("the VirtualService's rule that decided"),
        "cluster": text("where it was led"),
        "response_flags": texts("Envoy's, such as UH"),
        "response_code": whole("the status that the proxy logged; 0: none"),
        "response_code_details": text("Envoy's own reason"),
    }
    return having(
        {
            "target": text("the URL, port included"),
            "verdict": _verdict("see verdicts"),
            "reason": text("why, one sentence"),
            "stage": text("the stage that was reached: dns, tcp, tls, http or grpc"),
            "addresses": texts("what the pod's lookup gave"),
            "declared_by": _PLACES,
            "status": or_null(whole("of the HTTP answer; null without one", 100)),
            "evidence": having(evidence, "the proxy's record; absent where there is none"),
        },
        optional="evidence",
    )


def _probe_batch() -> Schema:
    call = {
        "id": {"description": "given back"},
        "address": text("what the application connects to; default 203.0.113.1"),
        "port": whole("its port", 1),
        "protocol": text("HTTP/1.1, a TLS handshake, other bytes", "http", "tls", "tcp"),
        "host": text("of the request, for http"),
        "path": text("of the request; default /"),
        "method": text("of the request; default GET"),
        "headers": mapped("of the request, by name"),
        "sni": text("server name of the handshake, for tls; none when absent"),
    }
    calls = having(call, optional="id address host path method headers sni")
    return having(
        {
            "id": {"description": "given back"},
            "yaml": text("the resources"),
            "mesh": text("MeshConfig as YAML text; absent: REGISTRY_ONLY"),
            "namespace": text("of the workload that asks; default `default`"),
            "labels": mapped("its labels"),
            "metadata": mapped(
                'of the proxy; `{"DNS_CAPTURE": "true"}` has Istio\'s agent resolve'
            ),
            "calls": listed(calls, "what is called"),
        },
        optional="id yaml mesh namespace labels metadata calls",
    )


def _probe_batch_answer() -> Schema:
    call = {
        "id": _ID,
        "verdict": text("what the mesh decided; unknown: no record", *_OF_ISTIOD, "unknown"),
        "listener": text("what it met; like those below left out where it is empty"),
        "filter_chain": text("its name"),
        "route_config": text("the route configuration"),
        "route": text("its name"),
        "cluster": text("of a route that splits, the one that was chosen"),
        "outcome": _verdict("the verdict, upstream included"),
        "error": text("why the call could not be read, in place of all others"),
    }
    names = " ".join(name for name in call if name != "id")
    calls = listed(having(call, optional=names), "in the order of the calls")
    return having({"id": _ID, "calls": calls, "error": _ERRORS}, optional="calls error")


def _problem(*, of_files: bool) -> Schema:
    common = {
        "severity": text("how bad", "error", "warning"),
        "rule": text("a stable name"),
        "message": text("what is wrong and how to mend it"),
    }
    place = _place()
    if not of_files:
        del place["file"]
        return having({**common, **place})
    more = {"resource": _subject(), "template": text("of Helm that has rendered the object")}
    return having({**common, **place, **more}, optional="resource template")


def _validate() -> Schema:
    return having(
        {
            "schema": _VERSION,
            "verdict": text("of all of them", "accepted", "warned", "refused"),
            "errors": whole("how many"),
            "warnings": whole("how many"),
            "files": texts("that were read"),
            "kinds": mapped("how many objects of each kind were checked", {"type": "integer"}),
            "left_alone": mapped("how many of other kinds there are", {"type": "integer"}),
            "problems": listed(_problem(of_files=True), "by file and line"),
        }
    )


def _validate_batch() -> Schema:
    return having(
        {"id": {"description": "given back"}, "yaml": text("the documents")}, optional="id"
    )


def _validate_batch_answer() -> Schema:
    return having(
        {
            "id": _ID,
            "verdict": text("lint not counted", "accepted", "warned", "refused"),
            "problems": listed(_problem(of_files=False), "lint included"),
            "error": _ERRORS,
        },
        optional="verdict problems error",
    )


def _lint() -> Schema:
    levels = ("error", "warning", "note")
    finding = {
        "rule": text("see the rules of lint"),
        "also": texts("Istio's own analyzers that say the same"),
        "level": text("how bad", *levels),
        "message": text("what it means, and what to do"),
        **_place(),
        "resource": _subject(),
    }
    reason = {"reason": text("what the comment gives")}
    return having(
        {
            "schema": _VERSION,
            **{f"{level}s": whole("how many") for level in levels},
            "files": texts("that were read"),
            "findings": listed(having(finding, optional="resource"), "by file and line"),
            "silenced": listed(
                having({**finding, **reason}, optional="resource"), "by a comment in the file"
            ),
        }
    )


def _diff() -> Schema:
    change = {
        "kind": text("what becomes of it", "opens", "closes", "changes"),
        "target": text("host:port, or an address"),
        "how": texts("the protocols that it is called with"),
        "what": text("the change, in words"),
        "workloads": texts("who sees it; empty: everybody"),
        "declared_by": _PLACES,
        "reason": text("why it is so now"),
    }
    return having({"schema": _VERSION, "changes": listed(having(change), "for callers")})


def _explain() -> Schema:
    weighted = {"cluster": text("its name"), "weight": whole("its share")}
    decision = {
        "verdict": text("as istiod's simulation calls it", *_OF_ISTIOD, "error"),
        "listener": text("its name; like those below left out where it is empty"),
        "filter_chain": text("its name"),
        "route_config": text("the route configuration"),
        "virtual_host": text("its name"),
        "route": text("its name"),
        "cluster": text("the only one that it leads to"),
        "direct_response": whole("the status that the proxy answers itself", 100),
        "clusters": listed(having(weighted), "those that share the calls"),
    }
    optional = " ".join(name for name in decision if name != "verdict")
    kinds = ("listener", "filter chain", "virtual host", "route", "cluster")
    step = {
        "kind": text("of choice", *kinds),
        "name": text("what was chosen; empty: it has no name"),
        "why": text("the reason"),
    }
    proxy = {
        "proxy": text("sidecar, or the name of an egress gateway"),
        "decision": having(decision, "what the call meets there", optional=optional),
        "fault": text("what a VirtualService injects; empty: nothing"),
        "rule": text("the VirtualService's rule that decided; empty: none"),
        "steps": listed(having(step), "the choices, in order"),
    }
    part = {
        "name": text("a resource or setting"),
        "does": text("its part"),
        "at": or_null(text("file:line:column; null: it stands in no file")),
    }
    who = {"namespace": text("its namespace"), "labels": mapped("its labels")}
    one = having(
        {
            "schema": _VERSION,
            "target": text("the URL, port included"),
            "from": having(who, "the workload that calls"),
            "verdict": _verdict("if the upstream answers"),
            "reason": text("why, one sentence"),
            "address": text("what the application connects to"),
            "proxies": listed(having(proxy), "on the way, the sidecar first"),
            "took_part": listed(having(part), "what had a part in it"),
            "declared_by": _PLACES,
            "declared": text("where, in words"),
            "nearest": text("the declaration that comes nearest, of what is blocked"),
            "edit": text("one suggested edit"),
        },
        optional="declared nearest edit",
    )
    return {"type": "array", "items": one}


def _table() -> Schema:
    row = {
        "host": or_null(text("as declared; null: any other host")),
        "port": whole("its number"),
        "protocol": or_null(text("as declared; null: any")),
        "declared_by": or_null(text("file:line:column of the host")),
        "verdicts": mapped("of each workload, by its name", _verdict("of a call")),
    }
    return having(
        {
            "schema": _VERSION,
            "source": text("how the verdicts were found"),
            "rows": listed(having(row), "in the contract's order"),
        }
    )


def _doctor() -> Schema:
    check = {
        "name": text("of the check"),
        "works": truth("whether it does"),
        "detail": text("what was found"),
        "next_step": text("what to do; empty: nothing"),
        "purpose": text("what it is needed for"),
    }
    return having(
        {
            "schema": _VERSION,
            "works": truth("whether all that is required does"),
            "required": texts("names of checks"),
            "checks": listed(having(check), "in the order in which they were tried"),
        }
    )


def _titled(title: str, make: Callable[[], Schema]) -> Published:
    plain = title.replace("`", "")
    return Published(title, lambda: {"$schema": _DRAFT, "title": plain, **make()})


def _expectations() -> Schema:
    from pytest_egress.collection.json_schema import SCHEMA_FILE

    found: Schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    return found


def _run() -> Schema:
    from pytest_egress.report.as_json import schema_text

    found: Schema = json.loads(schema_text())
    return found


#: Every schema that ``pytest-egress schema`` prints.
SCHEMAS: Final[Mapping[str, Published]] = MappingProxyType(
    {
        "expectations": Published("an expectation file, `*.egress.yaml`", _expectations),
        "run": Published("the file that `--egress-json` writes", _run),
        "probe": _titled("a line of `pytest-egress probe --json`", _probe),
        "probe-batch": _titled("a line that `pytest-egress probe --batch` reads", _probe_batch),
        "probe-batch-answer": _titled(
            "a line that `pytest-egress probe --batch` prints", _probe_batch_answer
        ),
        "validate": _titled("what `pytest-egress validate --format json` prints", _validate),
        "validate-batch": _titled(
            "a line that `pytest-egress validate --batch` reads", _validate_batch
        ),
        "validate-batch-answer": _titled(
            "a line that `pytest-egress validate --batch` prints", _validate_batch_answer
        ),
        "lint": _titled("what `pytest-egress lint --format json` prints", _lint),
        "explain": _titled("what `pytest-egress explain --format json` prints", _explain),
        "table": _titled("what `pytest-egress table --format json` prints", _table),
        "diff": _titled("what `pytest-egress diff --format json` prints", _diff),
        "doctor": _titled("what `pytest-egress doctor --format json` prints", _doctor),
    }
)

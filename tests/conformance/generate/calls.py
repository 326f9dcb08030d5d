"""Calls that a workload makes: to what the contract declares, beside it, and to neither."""

from __future__ import annotations

from tests.conformance.generate.drawing import Choices, Json
from tests.conformance.generate.names import group, inside

__all__ = ["calls"]

_ELSEWHERE = ("203.0.113.77", "198.51.100.9")
_UNDECLARED = ("nowhere.example", "q.example.com")
_PATHS = ("/", "/v1/x", "/V1/X", "/exact", "/exact/y", "/old/z?q=1", "/r/42", "/any?q=2&b=")
_METHODS = ("GET", "POST", "PUT")
_HEADERS: tuple[dict[str, str], ...] = (
    {},
    {"x-canary": "yes"},
    {"x-user": "ann-1"},
    {"x-canary": "no", "x-user": "bob"},
)


def calls(choices: Choices, docs: list[Json], most: int) -> list[Json]:
    """Some calls about a contract."""
    entries = [doc["spec"] for doc in docs if doc["kind"] == "ServiceEntry"]
    named = [host for spec in entries for host in spec["hosts"]]
    hosts = [*map(inside, named), *_UNDECLARED]
    for doc in docs:
        if doc["kind"] == "VirtualService":
            hosts += map(inside, doc["spec"].get("hosts", ()))
    numbers = [port["number"] for spec in entries for port in spec["ports"]]
    ports = list(dict.fromkeys([*numbers, 80, 443, 7777]))
    addresses = [
        address.split("/")[0]
        for spec in entries
        for address in [
            *spec.get("addresses", ()),
            *(it["address"] for it in spec.get("endpoints", ())),
        ]
        if address[:1].isdigit()
    ]
    made = []
    for index in range(choices.number(1, most)):
        call: Json = {"id": f"c{index}", "address": choices.one(_ELSEWHERE)}
        if choices.chance(70):  # to what an entry declares
            spec = choices.one(entries)
            port = choices.one(spec["ports"])
            call |= {"port": port["number"], "protocol": group(port.get("protocol", ""))}
            host = inside(choices.one(spec["hosts"]))
            own = [it.split("/")[0] for it in spec.get("addresses", ())]
            if own and choices.chance(80):
                call["address"] = choices.one(own)
        else:
            call |= {"port": choices.one(ports), "protocol": choices.one(("http", "tls", "tcp"))}
            host = choices.one(hosts)
            if choices.chance(50):
                call["address"] = choices.one([*_ELSEWHERE, *dict.fromkeys(addresses)])
        if call["protocol"] == "http":
            suffix = choices.one(("", "", f":{call['port']}", ":9999"))
            call |= {
                "host": host + suffix,
                "path": choices.one(_PATHS),
                "method": choices.one(_METHODS),
                "headers": choices.one(_HEADERS),
            }
        elif call["protocol"] == "tls" and choices.chance(90):
            call["sni"] = host
        made.append(call)
    return made

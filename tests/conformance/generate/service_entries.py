"""ServiceEntries, and the WorkloadEntries that some of them select."""

from __future__ import annotations

from tests.conformance.generate.drawing import Choices, Json
from tests.conformance.generate.names import (
    ADDRESSES,
    EXACT_HOSTS,
    HTTP_PROTOCOLS,
    LABELS,
    OPAQUE_PROTOCOLS,
    PORTS,
    TLS_PROTOCOLS,
    WILD_HOSTS,
    export_to,
    group,
    resource,
)

__all__ = ["allocate", "service_entry", "workload_entry"]

_RESOLUTIONS = (("DNS", 6), ("STATIC", 4), ("NONE", 4), ("DNS_ROUND_ROBIN", 2), ("DYNAMIC_DNS", 2))
_PROTOCOLS = (*(("HTTP", 5), ("TLS", 5), ("TCP", 4)),)
_CIDRS = ("240.2.0.0/16", "240.2.3.0/24", "240.1.0.1/32", "10.0.0.0/8")
_IPS = ("203.0.113.10", "203.0.113.11", "203.0.113.12", "10.9.0.9")
_LOCALITIES = ("region1/zone1/sub1", "region1/zone2", "region2")
_NO_ALLOCATION = {"networking.istio.io/enable-autoallocate-ip": "false"}


def service_entry(choices: Choices, index: int) -> Json:
    """An entry that istiod accepts, now and then one that it does not."""
    resolution = choices.weighted(_RESOLUTIONS)
    dynamic, named = resolution == "DYNAMIC_DNS", resolution in {"DNS", "DNS_ROUND_ROBIN"}
    ports = _ports(choices, dynamic=dynamic)
    endpoints = [] if dynamic or resolution == "NONE" else _endpoints(choices, resolution, ports)
    hosts: tuple[str, ...] = (*EXACT_HOSTS, *WILD_HOSTS)
    if dynamic:
        hosts = WILD_HOSTS
    elif named and not endpoints:
        hosts = EXACT_HOSTS
    opaque = any(group(port.get("protocol", "")) == "tcp" for port in ports)
    addresses: list[str] = []
    if not dynamic and choices.chance(35):
        ranges = _CIDRS if resolution in {"NONE", "STATIC"} else ()
        several = 2 if not choices.settled and choices.chance(20) else 1
        addresses = choices.some((*ADDRESSES, *ranges), 1, several)
        if choices.settled:
            own = f"240.3.{index}.0"
            addresses = [choices.one((own, f"{own}/24")) if ranges else own]
    most = 1 if (opaque and resolution != "NONE") or (addresses and choices.settled) else 3
    spec: Json = {"hosts": choices.some(hosts, 1, most), "ports": ports}
    if resolution != "NONE" or choices.chance(50):
        spec["resolution"] = resolution
    if addresses:
        spec["addresses"] = addresses
    if endpoints:
        spec["endpoints"] = endpoints
    elif resolution not in {"NONE", "DYNAMIC_DNS"} and choices.chance(15):
        spec["workloadSelector"] = {"labels": choices.one(LABELS)}
    choices.maybe(40, spec, "location", ("MESH_EXTERNAL", "MESH_INTERNAL"))
    choices.maybe(10, spec, "subjectAltNames", (["san.example.com"], ["spiffe://mesh/ns/a/sa/b"]))
    export_to(choices, spec)
    metadata: Json = {}
    if choices.chance(8):
        metadata["labels"] = choices.one((_NO_ALLOCATION, {"app": "web"}))
    if named and choices.chance(8):
        metadata["annotations"] = {"istio.io/connect-strategy": "RACE_FIRST_TCP_CONNECT"}
    entry = resource(choices, "ServiceEntry", index, spec, **metadata)
    if "addresses" not in spec and resolution != "NONE" and choices.chance(15):
        values = {"host": spec["hosts"][0], "value": f"240.240.0.{index + 1}"}
        entry["status"] = {"addresses": [values]}
    return entry


def allocate(entry: Json, index: int) -> None:
    """Give an entry the addresses that the allocating controller of a cluster would give it.

    The oracle has no such controller, and a pod with DNS capture uses what it has allocated.
    """
    spec = entry["spec"]
    resolution = spec.get("resolution", "NONE")
    opted_out = entry["metadata"].get("labels") == _NO_ALLOCATION
    if "addresses" in spec or resolution == "NONE" or opted_out:
        return
    hosts = [it for it in spec["hosts"] if resolution == "DYNAMIC_DNS" or not it.startswith("*")]
    addresses = [
        {"host": host, "value": f"240.240.{index + 1}.{number + 1}"}
        for number, host in enumerate(hosts)
    ]
    if addresses:
        entry["status"] = {"addresses": addresses}


def workload_entry(choices: Choices, index: int) -> Json:
    """A workload outside of Kubernetes, as a selector finds it."""
    spec: Json = {"address": choices.one((*_IPS, "vm.example.com")), "labels": choices.one(LABELS)}
    if choices.chance(20):
        spec["ports"] = {"http-80": 8081}
    choices.maybe(20, spec, "weight", (1, 3))
    choices.maybe(20, spec, "locality", _LOCALITIES)
    choices.maybe(20, spec, "serviceAccount", ("app",))
    return resource(choices, "WorkloadEntry", index, spec)


def _ports(choices: Choices, *, dynamic: bool) -> list[Json]:
    ports = []
    for number in choices.some(PORTS, 1, 3):
        protocol = choices.one(
            {"HTTP": HTTP_PROTOCOLS, "TLS": TLS_PROTOCOLS, "TCP": OPAQUE_PROTOCOLS}[
                choices.weighted(_PROTOCOLS)
            ]
        )
        if dynamic:
            protocol = choices.one(("HTTP", "TLS", *(() if choices.settled else ("GRPC", "HTTP2"))))
        elif choices.settled and number in {15001, 15021}:
            protocol = "HTTP"
        name = f"{protocol.lower().replace('_', '-') or 'auto'}-{number}"
        port: Json = {"number": number, "name": name}
        if protocol or choices.chance(50):
            port["protocol"] = protocol
        if choices.chance(20):
            port["targetPort"] = choices.one((443, 8000, number))
        ports.append(port)
    return ports


def _endpoints(choices: Choices, resolution: str, ports: list[Json]) -> list[Json]:
    percent = 85 if resolution == "STATIC" else 30
    if not choices.chance(percent):
        return []
    most = 1 if resolution == "DNS_ROUND_ROBIN" else 3
    addresses = _IPS if resolution == "STATIC" else (*_IPS, "one.example.net", "two.example.net")
    endpoints = []
    for _ in range(choices.number(1, most)):
        endpoint: Json = {"address": choices.one(addresses)}
        if choices.chance(25):
            named = choices.some([port["name"] for port in ports], 1, len(ports))
            endpoint["ports"] = {name: choices.one((8443, 7000)) for name in named}
        choices.maybe(25, endpoint, "labels", LABELS)
        choices.maybe(25, endpoint, "weight", (1, 2, 10))
        choices.maybe(20, endpoint, "locality", _LOCALITIES)
        choices.maybe(10, endpoint, "serviceAccount", ("app",))
        choices.maybe(5, endpoint, "network", ("net1",))
        if choices.chance(8):
            endpoint.setdefault("labels", {})
            mode = choices.one(("istio", "disabled"))
            endpoint["labels"] = {**endpoint["labels"], "security.istio.io/tlsMode": mode}
        endpoints.append(endpoint)
    return endpoints

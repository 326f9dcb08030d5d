"""Contracts of egress gateways as YAML, and what istiod would push to their gateway."""

from __future__ import annotations

from pytest_egress.contract import Contract, loads
from pytest_egress.contract.kubernetes.registry import gateway_workloads
from pytest_egress.envoy.gateway.program import GatewayProgram, compile_gateway

__all__ = ["HOST", "compiled", "contract", "entry", "gateway", "routes", "server"]

HOST = "istio-egressgateway.istio-system.svc.cluster.local"
_ENTRY = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  hosts: [{host}]
  ports:
{ports}  resolution: DNS
"""
_GATEWAY = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  selector: {{istio: egressgateway}}
  servers:
{servers}"""
_ROUTES = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  hosts: [{hosts}]
  gateways: [{gateways}]
{rules}"""
# A VirtualService for another host, so that the gateway's Service is spoken of.
_SPOKEN_OF = f"""\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: to-gateway}}
spec:
  hosts: [unrelated.example.com]
  http: [{{route: [{{destination: {{host: {HOST}, port: {{number: 80}}}}}}]}}]
"""


def entry(host: str, *ports: str, name: str = "", namespace: str = "default") -> str:
    """A ServiceEntry with ports such as ``443/TLS``."""
    listed = ""
    for text in ports:
        number, _, protocol = text.partition("/")
        listed += f"  - {{number: {number}, name: p{number}, protocol: {protocol}}}\n"
    named = name or host.replace("*", "any")
    return _ENTRY.format(name=named, namespace=namespace, host=host, ports=listed)


def server(port: str, hosts: str, tls: str = "", **more: str) -> str:
    """A server of a Gateway at ``443/HTTPS`` or, with a name of the port, ``443/HTTPS/name``.

    ``tls`` is the inside of a YAML mapping.
    """
    number, protocol, name = f"{port}/p{port.partition('/')[0]}".split("/")[:3]
    text = f"  - port: {{number: {number}, name: {name}, protocol: {protocol}}}\n"
    text += f"    hosts: [{hosts}]\n"
    if tls:
        text += f"    tls: {{{tls}}}\n"
    return text + "".join(f"    {key}: {value}\n" for key, value in more.items())


def gateway(*servers: str, name: str = "egress", namespace: str = "default") -> str:
    """A Gateway for Istio's egress gateway."""
    return _GATEWAY.format(name=name, namespace=namespace, servers="".join(servers))


def routes(
    hosts: str,
    rules: str,
    gateways: str = "egress",
    name: str = "routes",
    namespace: str = "default",
) -> str:
    """A VirtualService; ``rules`` are lines of its spec without indentation."""
    indented = "".join(f"  {line}\n" for line in rules.strip().splitlines())
    return _ROUTES.format(
        name=name, namespace=namespace, hosts=hosts, gateways=gateways, rules=indented
    )


def contract(*documents: str) -> Contract:
    """These documents and one that leads to the gateway."""
    return loads("---\n".join([*documents, _SPOKEN_OF]), file="egress.yaml")


def compiled(*documents: str) -> GatewayProgram:
    """What the pods of Istio's egress gateway get."""
    whole = contract(*documents)
    [workload] = gateway_workloads(whole)
    return compile_gateway(whole, workload)

"""The parts of an egress gateway's contract, for tests that take one of them away."""

from __future__ import annotations

__all__ = ["ENTRY", "GATEWAY", "HOST", "HTTP_ROUTES", "TLS_ROUTES", "documents"]

HOST = "istio-egressgateway.istio-system.svc.cluster.local"
ENTRY = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: weather}
spec:
  hosts: [api.weather.com]
  ports:
  - {number: 80, name: http, protocol: HTTP}
  - {number: 443, name: tls, protocol: TLS}
  location: MESH_EXTERNAL
  resolution: DNS
"""
GATEWAY = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: egress}
spec:
  selector: {istio: egressgateway}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: [api.weather.com]
  - port: {number: 443, name: tls, protocol: TLS}
    hosts: [api.weather.com]
    tls: {mode: PASSTHROUGH}
"""
HTTP_ROUTES = f"""\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: http}}
spec:
  hosts: [api.weather.com]
  gateways: [mesh, egress]
  http:
  - match: [{{gateways: [mesh], port: 80}}]
    route: [{{destination: {{host: {HOST}, port: {{number: 80}}}}}}]
  - match: [{{gateways: [egress], port: 80}}]
    route: [{{destination: {{host: api.weather.com, port: {{number: 80}}}}}}]
"""
TLS_ROUTES = f"""\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: tls}}
spec:
  hosts: [api.weather.com]
  gateways: [mesh, egress]
  tls:
  - match: [{{gateways: [mesh], port: 443, sniHosts: [api.weather.com]}}]
    route: [{{destination: {{host: {HOST}, port: {{number: 443}}}}}}]
  - match: [{{gateways: [egress], port: 443, sniHosts: [api.weather.com]}}]
    route: [{{destination: {{host: api.weather.com, port: {{number: 443}}}}}}]
"""


def documents(*texts: str) -> str:
    """Several documents as one text."""
    return "---\n".join(texts)

"""An egress gateway's resources, each as YAML, for contracts that leave one out or change it."""

from __future__ import annotations

__all__ = ["ENTRY", "GATEWAY", "POD", "ROUTES", "SERVICE", "documents"]

SERVICE = """\
apiVersion: v1
kind: Service
metadata:
  name: istio-egressgateway
  namespace: istio-system
spec:
  selector: {app: istio-egressgateway, istio: egressgateway}
  ports:
  - {name: http2, port: 80, targetPort: 8080}
  - {name: https, port: 443, targetPort: web}
"""
POD = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: istio-egressgateway, namespace: istio-system}
spec:
  template:
    metadata:
      labels: {app: istio-egressgateway, istio: egressgateway, tier: edge}
    spec:
      serviceAccountName: egress
      containers:
      - name: istio-proxy
        ports: [{name: web, containerPort: 8443}]
"""
ENTRY = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: weather}
spec:
  hosts: [api.weather.com]
  ports:
  - {number: 80, name: http, protocol: HTTP}
  - {number: 443, name: tls, protocol: TLS}
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
"""
ROUTES = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: weather}
spec:
  hosts: [api.weather.com]
  gateways: [mesh, egress]
  http:
  - match: [{gateways: [mesh], port: 80}]
    route:
    - destination: {host: istio-egressgateway.istio-system.svc.cluster.local, port: {number: 80}}
  - match: [{gateways: [egress], port: 80}]
    route:
    - destination: {host: api.weather.com, port: {number: 80}}
"""


def documents(*texts: str) -> str:
    """Several documents as one text."""
    return "---\n".join(texts)

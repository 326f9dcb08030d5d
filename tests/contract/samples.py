"""Contracts that the tests of this directory start from."""

from __future__ import annotations

from pytest_egress.contract import Problem

__all__ = ["ENTRY", "SIDECAR", "WORKLOAD", "errors"]

ENTRY = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata:
  name: weather
  namespace: shop
spec:
  hosts:
  - api.weather.example
  ports:
  - number: 443
    name: https
    protocol: TLS
  resolution: DNS
  location: MESH_EXTERNAL
"""

SIDECAR = """\
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata:
  name: scope
  namespace: shop
spec:
  workloadSelector:
    labels:
      app: web
  egress:
  - port:
      number: 3128
      protocol: HTTP
      name: proxy
    bind: 127.0.0.1
    captureMode: NONE
    hosts:
    - ./*
  - hosts:
    - istio-system/*
  outboundTrafficPolicy:
    mode: ALLOW_ANY
    egressProxy:
      host: proxy.example
      subset: blue
      port:
        number: 8080
"""

WORKLOAD = """\
apiVersion: networking.istio.io/v1beta1
kind: WorkloadEntry
metadata:
  name: vm
  namespace: shop
  labels:
    team: db
spec:
  address: 192.0.2.7
  ports:
    https: 8443
  labels:
    app: db
  network: vms
  locality: eu/a/1
  weight: 3
  serviceAccount: db
"""


def errors(problems: list[Problem]) -> list[Problem]:
    """Without warnings."""
    return [problem for problem in problems if problem.severity == "error"]

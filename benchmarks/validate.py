"""``pytest-egress validate`` on 10,000 documents of mixed kinds, whole process (goal: 5 s).

As one stream, as 10,000 files, as a batch; and where every document has something wrong with it, or
gets in the way of another one.
"""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _measure import environment, machine

DOCUMENTS = 10_000
PROGRAM = [sys.executable, "-c", "import sys; from pytest_egress.cli import main; sys.exit(main())"]

ENTRY = """apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata:
  name: api-{n}
  namespace: team-{team}
  labels: {{app.kubernetes.io/managed-by: Helm}}
spec:
  hosts:
  - api-{n}.example.com
  location: MESH_EXTERNAL
  resolution: DNS
  ports:
  - {{number: 443, name: https, protocol: HTTPS}}
  - {{number: 80, name: http, protocol: HTTP, targetPort: 443}}
  exportTo: ["."]
"""
STATIC = """apiVersion: networking.istio.io/v1beta1
kind: ServiceEntry
metadata:
  name: db-{n}
  namespace: team-{team}
spec:
  hosts:
  - db-{n}.example.com
  addresses: [10.0.0.1]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports:
  - number: 5432
    name: postgres
    protocol: TCP
  endpoints:
  - address: 192.0.2.10
    labels: {{zone: a}}
  - address: 192.0.2.11
  exportTo: ["."]
"""
SERVICE = """apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: api-{n}
  namespace: team-{team}
spec:
  hosts:
  - api-{n}.example.com
  http:
  - name: canary
    match:
    - uri: {{prefix: /v2/}}
      headers:
        x-canary: {{exact: "true"}}
    rewrite: {{uri: /}}
    route:
    - destination: {{host: api-{n}.example.com, port: {{number: 80}}}}
      weight: 90
    - destination: {{host: api-{n}.example.com, port: {{number: 443}}}}
      weight: 10
    timeout: 5s
    retries: {{attempts: 3, perTryTimeout: 1s, retryOn: "5xx,reset"}}
  - route:
    - destination: {{host: api-{n}.example.com, port: {{number: 80}}}}
  exportTo: ["."]
"""
RULE = """apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: api-{n}
  namespace: team-{team}
spec:
  host: api-{n}.example.com
  trafficPolicy:
    connectionPool:
      tcp: {{maxConnections: 100, connectTimeout: 2s}}
      http: {{http1MaxPendingRequests: 10, maxRetries: 2}}
    outlierDetection: {{consecutive5xxErrors: 5, interval: 10s, baseEjectionTime: 30s}}
    portLevelSettings:
    - port: {{number: 80}}
      tls: {{mode: SIMPLE, sni: api-{n}.example.com}}
  exportTo: ["."]
"""
SIDECAR = """apiVersion: networking.istio.io/v1
kind: Sidecar
metadata:
  name: app-{n}
  namespace: team-{team}
spec:
  workloadSelector: {{labels: {{app: app-{n}}}}}
  egress:
  - hosts: ["./*", "istio-system/*"]
  outboundTrafficPolicy: {{mode: REGISTRY_ONLY}}
"""
KINDS = (ENTRY, SERVICE, RULE, ENTRY, SERVICE, RULE, ENTRY, STATIC, SERVICE, SIDECAR)


def documents() -> list[str]:
    """Valid documents; in each block of ten, the rules are about the block's own entries."""
    return [
        kind.format(n=block * 10 + number // 3, team=block % 40)
        for block in range(DOCUMENTS // len(KINDS))
        for number, kind in enumerate(KINDS)
    ]


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(
    label: str, arguments: list[str], text: str = "", codes: tuple[int, ...] = (0,)
) -> None:
    """Run the command and print what it took.

    Raises:
        RuntimeError: it ended otherwise than it should, so its figure would be worth nothing.
    """
    best = cpu = float("inf")
    for _ in range(3):
        start, before = time.perf_counter(), _cpu()
        done = subprocess.run(
            [*PROGRAM, "validate", *arguments],
            input=text,
            capture_output=True,
            text=True,
            check=False,
            env=environment(),
        )
        best, cpu = min(best, time.perf_counter() - start), min(cpu, _cpu() - before)
        if done.returncode not in codes:
            raise RuntimeError(f"{label}: exit code {done.returncode}\n{done.stderr[-2000:]}")
    lines = done.stdout.count("\n")
    print(f"{label:<20}{best:7.2f} s {cpu:7.2f} s of CPU {lines:>8} lines")


def main() -> None:
    """Print the table."""
    print(f"{machine()}: {DOCUMENTS} documents, best of 3")
    texts = documents()
    stream = "---\n".join(texts)
    measure("one stream", ["-"], stream)
    measure("one stream, JSON", ["--format", "json", "-"], stream)
    wrong = stream.replace("exportTo:", "exportedTo:").replace("number: 443", "number: 70000")
    measure("each one refused", ["-"], wrong, (1,))
    clashing = re.sub(r"api-\d+\.", "api.", stream).replace('exportTo: ["."]', "")
    measure("each one clashing", ["-"], clashing, (0, 1))
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        for number, text in enumerate(texts):
            folder = directory / str(number % 100)
            folder.mkdir(exist_ok=True)
            (folder / f"{number}.yaml").write_text(text)
        measure("one file each", [name])
        cases = directory / "cases.jsonl"
        cases.write_text(
            "".join(json.dumps({"id": n, "yaml": it}) + "\n" for n, it in enumerate(texts))
        )
        measure("batch", ["--batch", os.fspath(cases)])


if __name__ == "__main__":
    main()

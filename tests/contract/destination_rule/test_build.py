"""A DestinationRule with every field of the API, as a typed resource."""

from __future__ import annotations

import subprocess
import sys

from pytest_egress.contract import loads
from pytest_egress.contract.destination_rule.resource import (
    ClientTls,
    ConnectionPool,
    ConsistentHash,
    Distribute,
    Failover,
    HttpCookie,
    HttpPool,
    KeepAlive,
    LoadBalancer,
    LocalityLb,
    OutlierDetection,
    PortPolicy,
    RetryBudget,
    Subset,
    TcpKeepalive,
    TcpPool,
    TrafficPolicy,
    Tunnel,
    Warmup,
    ZoneAwareLb,
)
from pytest_egress.contract.duration import SECOND

EVERYTHING = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: weather, namespace: shop}
spec:
  host: api.weather.example
  exportTo: ["."]
  workloadSelector: {matchLabels: {app: web}}
  trafficPolicy:
    loadBalancer:
      consistentHash:
        httpCookie:
          name: session
          path: /p
          ttl: 0s
          attributes: [{name: SameSite, value: Lax}, {name: Secure}]
        maglev: {tableSize: 101}
      localityLbSetting:
        enabled: true
        distribute: [{from: eu/*, to: {eu/a: 80, eu/b: 20}}]
        failoverPriority: [a, b]
      warmup: {duration: 1m30s, minimumPercent: 12.5, aggression: 2}
    connectionPool:
      tcp:
        maxConnections: 1
        connectTimeout: 2s
        tcpKeepalive: {probes: 3, time: 4s, interval: 5s}
        maxConnectionDuration: 6s
        idleTimeout: 0s
      http:
        http1MaxPendingRequests: 1
        http2MaxRequests: 2
        maxRequestsPerConnection: 3
        maxRetries: 4
        idleTimeout: 5s
        h2UpgradePolicy: DO_NOT_UPGRADE
        useClientProtocol: true
        maxConcurrentStreams: 6
        http2KeepAlive: {interval: 7s, timeout: 8s}
    outlierDetection:
      splitExternalLocalOriginErrors: true
      consecutiveLocalOriginFailures: 1
      consecutiveGatewayErrors: 0
      consecutive5xxErrors: null
      interval: 1s
      baseEjectionTime: 2s
      maxEjectionPercent: 100
      minHealthPercent: 50
      outlierDetectionHttpErrorCodes: [500, 503]
    tls:
      mode: MUTUAL
      clientCertificate: /etc/certs/cert.pem
      privateKey: /etc/certs/key.pem
      caCertificates: /etc/certs/ca.pem
      caCrl: /etc/certs/crl.pem
      subjectAltNames: [api.weather.example]
      sni: api.weather.example
      insecureSkipVerify: false
    portLevelSettings:
    - port: {number: 443}
      tls: {mode: SIMPLE}
    tunnel: {protocol: POST, targetHost: proxy.example, targetPort: 3128}
    retryBudget: {percent: 25, minRetryConcurrency: 5, budgetInterval: 1s}
  subsets:
  - name: v1
    labels: {version: v1}
    trafficPolicy:
      loadBalancer:
        simple: ROUND_ROBIN
        warmupDurationSecs: 10s
        zoneAwareLbSetting:
          enabled: false
          failover: [{from: eu, to: us}]
          failoverPriority: [a]
          minClusterSize: 3
      proxyProtocol: {}
  - name: v2
    trafficPolicy:
      loadBalancer:
        consistentHash:
          useSourceIp: true
          ringHash: {}
          minimumRingSize: 0
"""


def test_every_field_is_kept() -> None:
    """Durations are nanoseconds; null and absent wrappers are None."""
    (rule,) = loads(EVERYTHING).destination_rules
    policy = TrafficPolicy(
        load_balancer=LoadBalancer(
            consistent_hash=ConsistentHash(
                http_cookie=HttpCookie("session", "/p", 0, (("SameSite", "Lax"), ("Secure", ""))),
                table_size=101,
            ),
            locality=LocalityLb(
                (Distribute("eu/*", {"eu/a": 80, "eu/b": 20}),), (), ("a", "b"), enabled=True
            ),
            warmup=Warmup(90 * SECOND, 12.5, 2),
        ),
        connection_pool=ConnectionPool(
            TcpPool(1, 2 * SECOND, TcpKeepalive(3, 4 * SECOND, 5 * SECOND), 6 * SECOND, 0),
            HttpPool(
                1, 2, 3, 4, 5 * SECOND, "DO_NOT_UPGRADE", True, 6, KeepAlive(7 * SECOND, 8 * SECOND)
            ),
        ),
        outlier_detection=OutlierDetection(
            split_external_local_origin_errors=True,
            consecutive_local_origin_failures=1,
            consecutive_gateway_errors=0,
            interval=SECOND,
            base_ejection_time=2 * SECOND,
            max_ejection_percent=100,
            min_health_percent=50,
            http_error_codes=(500, 503),
        ),
        tls=ClientTls(
            "MUTUAL",
            "/etc/certs/cert.pem",
            "/etc/certs/key.pem",
            "/etc/certs/ca.pem",
            "/etc/certs/crl.pem",
            subject_alt_names=("api.weather.example",),
            sni="api.weather.example",
            insecure_skip_verify=False,
        ),
        port_level=(PortPolicy(443, tls=ClientTls("SIMPLE")),),
        tunnel=Tunnel("proxy.example", 3128, "POST"),
        retry_budget=RetryBudget(25, 5, SECOND),
    )
    v1 = TrafficPolicy(
        load_balancer=LoadBalancer(
            "ROUND_ROBIN",
            zone_aware=ZoneAwareLb(False, (Failover("eu", "us"),), ("a",), 3),
            warmup_duration=10 * SECOND,
        ),
        proxy_protocol="V1",
    )
    v2 = TrafficPolicy(
        load_balancer=LoadBalancer(consistent_hash=ConsistentHash(use_source_ip=True, ring_size=0))
    )
    assert rule.host == "api.weather.example"
    assert rule.export_to == (".",)
    assert rule.workload_selector == {"app": "web"}
    assert rule.traffic_policy == policy
    assert rule.subsets == (Subset("v1", {"version": "v1"}, v1), Subset("v2", {}, v2))
    assert str(rule.at("spec", "trafficPolicy", "tls", "sni")) == "<string>:56:12"


def test_its_types_are_imported_only_where_there_is_one() -> None:
    """A contract of ServiceEntries does not pay for them."""
    script = (
        "import sys\n"
        "from pytest_egress.contract import loads\n"
        "loads('')\n"
        "late = ('destination_rule', 'gateway')\n"
        "print([name for name in sys.modules if name.rpartition('.')[2] in late])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"

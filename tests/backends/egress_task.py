"""The four forms of an egress gateway that Istio's documentation shows, each as its parts."""

from __future__ import annotations

from tests.backends.egress_gateway import ENTRY, HOST

__all__ = ["FORMS", "MUTUAL_SNI", "ORIGINATION", "gateway", "mutual", "pieces", "subset"]

_SUBSET = f"""\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: gateway}}
spec:
  host: {HOST}
  subsets:
  - name: weather
"""


def subset() -> str:
    """The gateway's subset without TLS."""
    return _SUBSET


def gateway(port: int, protocol: str, tls: str = "") -> str:
    """A Gateway with one server."""
    return f"""\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: egress}}
spec:
  selector: {{istio: egressgateway}}
  servers:
  - port: {{number: {port}, name: server, protocol: {protocol}}}
    hosts: [api.weather.com]
""" + (f"    tls: {{mode: {tls}}}\n" if tls else "")


def mutual(port: int, sni: str = "api.weather.com") -> str:
    """The gateway's subset, spoken to by the mesh's own TLS."""
    return (
        _SUBSET
        + f"""\
    trafficPolicy:
      portLevelSettings:
      - port: {{number: {port}}}
        tls: {{mode: ISTIO_MUTUAL, sni: {sni}}}
"""
    )


def _routes(kind: str, entry: int, gateway: int, upstream: int, leaving: str = "") -> str:
    """From the mesh to the gateway and on; ``leaving`` is the gateway's rule where it is other."""
    sni = ", sniHosts: [api.weather.com]" if kind == "tls" else ""
    rule = f"""\
  - match: [{{gateways: [egress], port: {gateway}{sni}}}]
    route:
    - destination: {{host: api.weather.com, port: {{number: {upstream}}}}}
"""
    return f"""\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: through-the-gateway}}
spec:
  hosts: [api.weather.com]
  gateways: [mesh, egress]
  {kind}:
  - match: [{{gateways: [mesh], port: {entry}{sni}}}]
    route:
    - destination: {{host: {HOST}, subset: weather, port: {{number: {gateway}}}}}
{leaving or rule}"""


_ORIGINATE = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: originate}
spec:
  host: api.weather.com
  trafficPolicy:
    portLevelSettings:
    - port: {number: 443}
      tls: {mode: SIMPLE, sni: api.weather.com}
"""
_TCP_LEAVING = """\
  tcp:
  - match: [{gateways: [egress], port: 443}]
    route:
    - destination: {host: api.weather.com, port: {number: 443}}
"""
HTTP = {
    "entry": ENTRY,
    "gateway": gateway(80, "HTTP"),
    "subset": _SUBSET,
    "routes": _routes("http", 80, 80, 80),
}
PASSTHROUGH = {
    "entry": ENTRY,
    "gateway": gateway(443, "TLS", "PASSTHROUGH"),
    "subset": _SUBSET,
    "routes": _routes("tls", 443, 443, 443),
}
ORIGINATION = {
    "entry": ENTRY,
    "gateway": gateway(80, "HTTPS", "ISTIO_MUTUAL"),
    "mutual": mutual(80),
    "routes": _routes("http", 80, 80, 443),
    "originate": _ORIGINATE,
}
MUTUAL_SNI = {
    "entry": ENTRY,
    "gateway": gateway(443, "TLS", "ISTIO_MUTUAL"),
    "mutual": mutual(443),
    "routes": _routes("tls", 443, 443, 443, _TCP_LEAVING),
}
FORMS = {
    "HTTP": HTTP,
    "passthrough": PASSTHROUGH,
    "origination": ORIGINATION,
    "mutual, SNI": MUTUAL_SNI,
}


def pieces(form: dict[str, str], *left_out: str, **changed: str) -> tuple[str, ...]:
    """The documents of a form, without some and with others in place of some."""
    return tuple({**{k: v for k, v in form.items() if k not in left_out}, **changed}.values())

"""What is added to istiod's configuration so that one machine can run it and see what it did.

Nothing here decides a verdict: these parts lead connections to the simulated outside, pass the
positive control through, and report each connection to the witness.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_egress.envoy.marks import METADATA, MISSING_CLUSTER, marked

__all__ = [
    "CONTROL_ADDRESS",
    "CONTROL_CLUSTER",
    "CONTROL_IN_POD",
    "HTTP_CHAIN",
    "PROXY_HEADER",
    "REMEMBER_SOURCE",
    "WITNESS_CLUSTER",
    "access_log",
    "control_listener",
    "dynamic_host",
    "dynamic_port",
    "fields_of",
    "opened_log",
    "original_destination",
    "sidecar_access_log",
]

Json = dict[str, Any]

#: Where the positive control is sent. Loopback is never captured in a mesh (istio-iptables lets it
#: through), so no contract can claim it.
CONTROL_ADDRESS = ("127.255.255.254", 9)
#: The same in a pod, where loopback is not redirected: the IPv4 dummy address (RFC 7600).
CONTROL_IN_POD = ("192.0.0.8", 9)
CONTROL_CLUSTER = "pytest_egress_control"
WITNESS_CLUSTER = "pytest_egress_witness"

#: The name given to filter chains that istiod leaves unnamed and that speak HTTP: it tells, from a
#: connection's record, that a request's record belongs to it.
HTTP_CHAIN = "pytest_egress_http"

_SOURCE = "pytest_egress.source"
_TYPE = "type.googleapis.com/envoy."
_HTTP = _TYPE + "extensions.filters.http."
_DIALLED = "envoy.filters.http.set_filter_state"
#: The listener filter that takes both addresses of a connection from the header in front of it.
PROXY_HEADER: Json = {
    "name": "envoy.filters.listener.proxy_protocol",
    "typed_config": {
        "@type": _TYPE + "extensions.filters.listener.proxy_protocol.v3.ProxyProtocol"
    },
}
#: Keeps the source address of an HTTP connection for the records of its requests, whose own
#: ``%DOWNSTREAM_REMOTE_ADDRESS%`` is what a request says in x-forwarded-for.
REMEMBER_SOURCE: Json = {
    "name": _SOURCE,
    "typed_config": {
        "@type": _TYPE + "extensions.filters.network.set_filter_state.v3.Config",
        "on_new_connection": [
            {
                "object_key": _SOURCE,
                "factory_key": "envoy.string",
                "format_string": {
                    "text_format_source": {"inline_string": "%DOWNSTREAM_REMOTE_ADDRESS%"}
                },
            }
        ],
    },
}
_TCP_PROXY = _TYPE + "extensions.filters.network.tcp_proxy.v3.TcpProxy"


def original_destination(port: int) -> Json:
    """Send ORIGINAL_DST clusters to the place that the dialler wrote as the source address.

    The dialler knows which place stands for the original destination and writes its address into
    the PROXY header's source; its source port only has to be unique.
    """
    return {
        "name": "envoy.filters.network.set_filter_state",
        "typed_config": {
            "@type": _TYPE + "extensions.filters.network.set_filter_state.v3.Config",
            "on_new_connection": [
                {
                    "object_key": "envoy.network.transport_socket.original_dst_address",
                    "format_string": {
                        "text_format_source": {
                            "inline_string": f"%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%:{port}"
                        }
                    },
                }
            ],
        },
    }


def dynamic_port(ports: Mapping[int, int], original_port: int) -> list[Json]:
    """Filters that let HTTP through a dynamic forward proxy dial a place.

    Such a cluster dials the port of the Host header (80 when it has none), whichever listener the
    request came in on. The port that stands for it on loopback is put into the filter state that
    Envoy looks at first; the request itself stays as it was.

    Where the Host header is an address there is nothing to resolve: it is dialled at the place of
    the original destination (see `original_destination`), which as a rule is that address.
    """
    table = ", ".join(f'["{port}"]="{place}"' for port, place in sorted(ports.items()))
    host, port = "x-pytest-egress-host", "x-pytest-egress-port"
    script = f"""
local ports = {{{table}}}
function envoy_on_request(handle)
  local authority = handle:headers():get(":authority") or ""
  local host, port = authority:match("^(.*):(%d+)$")
  host, port = host or authority, ports[port or "80"] or ports["80"]
  if host:match("^%d+%.%d+%.%d+%.%d+$") or host:match("^%[") then
    host = handle:streamInfo():downstreamRemoteAddress():match("^(.*):%d+$")
    port = "{original_port}"
  end
  handle:headers():replace("{host}", host)
  handle:headers():replace("{port}", port)
end"""
    return [
        {
            "name": "envoy.filters.http.lua",
            "typed_config": {
                "@type": _HTTP + "lua.v3.Lua",
                "default_source_code": {"inline_string": script},
            },
        },
        {"name": _DIALLED, "typed_config": _dialled(f"%REQ({host})%", f"%REQ({port})%")},
        {
            "name": "envoy.filters.http.header_mutation",
            "typed_config": {
                "@type": _HTTP + "header_mutation.v3.HeaderMutation",
                "mutations": {"request_mutations": [{"remove": host}, {"remove": port}]},
            },
        },
    ]


def dynamic_host(host: str, port: int) -> Json:
    """Settings of a route that make the filters of `dynamic_port` dial ``host`` and ``port``."""
    return {_DIALLED: _dialled(host, str(port))}


def _dialled(host: str, port: str) -> Json:
    def state(key: str, text: str) -> Json:
        source = {"text_format_source": {"inline_string": text}}
        return {"object_key": f"envoy.upstream.dynamic_{key}", "format_string": source}

    return {
        "@type": _HTTP + "set_filter_state.v3.Config",
        "on_request_headers": [state("host", host), state("port", port)],
    }


def control_listener(*, in_pod: bool = False) -> Json:
    """A listener that passes everything to the control's upstream, whatever the contract says."""
    address, port = CONTROL_IN_POD if in_pod else CONTROL_ADDRESS
    return {
        **marked({}, listener=CONTROL_CLUSTER),
        "name": CONTROL_CLUSTER,
        "address": {"socket_address": {"address": address, "port_value": port}},
        "bind_to_port": False,
        "access_log": [access_log()],
        "filter_chains": [
            {
                "filters": [
                    {
                        "name": "envoy.filters.network.tcp_proxy",
                        "typed_config": {
                            "@type": _TCP_PROXY,
                            "stat_prefix": CONTROL_CLUSTER,
                            "cluster": CONTROL_CLUSTER,
                        },
                    }
                ]
            }
        ],
    }


def opened_log(log: Json | None = None) -> Json:
    """Settings of a ``tcp_proxy`` that report a connection as soon as its upstream is connected.

    The connection's own record comes when it ends, which a pooled one may never do.

    Args:
        log: the access logger; None: `access_log`.
    """
    only = {"log_type_filter": {"types": ["TcpUpstreamConnected"]}}
    return {
        "access_log": [{**(log or access_log()), "filter": only}],
        "access_log_options": {"flush_access_log_on_connected": True},
    }


def access_log() -> Json:
    """An access logger that sends each record to the witness as it is made.

    Wherever it stands it is the same, so that Envoy has one connection to the witness, which the
    positive control opens: while a connection is being opened, records are lost. What differs from
    place to place is written there (see `pytest_egress.envoy.marks`) or told by the record's type.
    """
    return {
        "name": "envoy.access_loggers.fluentd",
        "typed_config": {
            "@type": _TYPE + "extensions.access_loggers.fluentd.v3.FluentdAccessLogConfig",
            "cluster": WITNESS_CLUSTER,
            "tag": "egress",
            "stat_prefix": "egress",
            "buffer_flush_interval": "1s",
            "buffer_size_bytes": 1,
            "record": _RECORD,
        },
    }


_RECORD = {
    "type": "%ACCESS_LOG_TYPE%",
    "listener": f"%METADATA(LISTENER:{METADATA}:listener)%",
    "tcp.source": "%DOWNSTREAM_REMOTE_ADDRESS%",
    "destination": "%DOWNSTREAM_LOCAL_ADDRESS%",
    "filter_chain": "%FILTER_CHAIN_NAME%",
    "cluster": "%UPSTREAM_CLUSTER_RAW%",
    "tcp.rule": f"%METADATA(LISTENER_FILTER_CHAIN:{METADATA}:rule)%",
    "tcp.missing_cluster": f"%METADATA(LISTENER_FILTER_CHAIN:{METADATA}:cluster)%",
    "upstream_host": "%UPSTREAM_HOST%",
    "upstream_local_address": "%UPSTREAM_LOCAL_ADDRESS%",
    "response_flags": "%RESPONSE_FLAGS%",
    "response_code": "%RESPONSE_CODE%",
    "response_code_details": "%RESPONSE_CODE_DETAILS%",
    "connection_termination_details": "%CONNECTION_TERMINATION_DETAILS%",
    "upstream_transport_failure_reason": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
    "downstream_transport_failure_reason": "%DOWNSTREAM_TRANSPORT_FAILURE_REASON%",
    "ends_tls": f"%METADATA(LISTENER_FILTER_CHAIN:{METADATA}:ends_tls)%",
    "requested_server_name": "%REQUESTED_SERVER_NAME%",
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "duration": "%DURATION%",
    # Of requests:
    "http.source": f"%FILTER_STATE({_SOURCE}:PLAIN)%",
    "http.route_config": f"%METADATA(LISTENER_FILTER_CHAIN:{METADATA}:route_config)%",
    "http.rule": f"%METADATA(ROUTE:{METADATA}:rule)%",
    "http.missing_cluster": f"%FILTER_STATE({MISSING_CLUSTER}:PLAIN)%",
    "route": "%ROUTE_NAME%",
    "answer": f"%METADATA(ROUTE:{METADATA}:answer)%",
    "authority": "%REQ(:AUTHORITY)%",
    "method": "%REQ(:METHOD)%",
    "path": "%REQ(:PATH)%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "upstream_duration": "%COMMON_DURATION(US_TX_END:US_RX_BEG:us)%",
}
_SPEAKS_HTTP = "speaks_http"


def sidecar_access_log() -> Json:
    """As `access_log`, for a proxy that istiod configures: it writes no marks of ours.

    Requests have their connection's source in its filter state (`REMEMBER_SOURCE`), which tells,
    from a connection's record, that requests' records belong to it.
    """
    log = access_log()
    record = {
        name: value
        for name, value in _RECORD.items()
        if f":{METADATA}:" not in value and MISSING_CLUSTER not in value
    }
    own = {
        _SPEAKS_HTTP: f"%FILTER_STATE({_SOURCE}:PLAIN)%",
        "listener": "",
        # istiod's own marks on routes and filter chains of a VirtualService.
        "http.rule": "%METADATA(ROUTE:istio:config)%",
        "tcp.rule": "%METADATA(LISTENER_FILTER_CHAIN:istio:config)%",
    }
    return {**log, "typed_config": {**log["typed_config"], "record": {**record, **own}}}


_KINDS = {"DownstreamEnd": "http", "TcpUpstreamConnected": "opened"}


def fields_of(record: Mapping[str, Any]) -> Json:
    """What a logged record says, by the names of `pytest_egress.evidence.Evidence`."""
    kind = _KINDS.get(record["type"], "connection")
    prefix = "http." if kind == "http" else "tcp."
    own = {name.removeprefix(prefix): record[name] for name in record if name.startswith(prefix)}
    if record.get(_SPEAKS_HTTP) and not record.get("filter_chain"):
        own["filter_chain"] = HTTP_CHAIN
    return {**record, **own, "kind": kind}

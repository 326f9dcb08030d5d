"""From istiod's configuration to a bootstrap that a stock Envoy runs on one machine.

The program is istiod's: listeners, routes and clusters keep their names and matches. What
changes is only what ties it to a pod and a control plane:

- ``virtualOutbound`` listens on a Unix socket and learns the original destination from a PROXY
  header, in place of an iptables redirect; no listener binds a port;
- routes and endpoints are inlined, since there is no xDS server;
- each listener and each HTTP connection manager reports to the witness (access log);
- TLS that the proxy originates or ends is made from files, since there is no agent;
- when the outside is simulated, every upstream address is replaced by the place on loopback that
  stands for it, and every upstream socket is bound to 127.0.0.1, from where the kernel lets
  nothing leave the machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_egress.envoy.embed_cluster import (
    Places,
    embed_cluster,
    resolver,
    socket_address,
    with_resolver,
)
from pytest_egress.envoy.hops import move_endpoints, with_proxy_header
from pytest_egress.envoy.instruments import (
    CONTROL_CLUSTER,
    HTTP_CHAIN,
    PROXY_HEADER,
    REMEMBER_SOURCE,
    WITNESS_CLUSTER,
    access_log,
    control_listener,
    dynamic_host,
    dynamic_port,
    opened_log,
    original_destination,
)
from pytest_egress.envoy.marks import Marks, marked, named_clusters, route_clusters
from pytest_egress.envoy.names import is_ip
from pytest_egress.envoy.program import Program
from pytest_egress.envoy.secrets import Secrets, server_socket

__all__ = ["Places", "Sockets", "embed"]

Json = dict[str, Any]

_TYPE = "type.googleapis.com/envoy."
_HCM = _TYPE + "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_TCP_PROXY = _TYPE + "extensions.filters.network.tcp_proxy.v3.TcpProxy"
_SNI_DFP = _TYPE + "extensions.filters.network.sni_dynamic_forward_proxy.v3.FilterConfig"
_HTTP_DFP = _TYPE + "extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig"
# What pilot-agent's bootstrap sets (pkg/bootstrap/config.go, extractRuntimeFlags).
_RUNTIME = {
    "re2.max_program_size.error_level": 32768,
    "envoy.reloadable_features.http_reject_path_with_fragment": False,
    "envoy.reloadable_features.coalesce_lb_rebuilds_on_batch_update": False,
}


@dataclass(frozen=True, slots=True)
class Sockets:
    """Where one proxy is spoken to, and the control's upstream.

    Attributes:
        listeners: the Unix sockets where a listener is dialled, by its name; the others are
            reached through ``virtualOutbound``, by the destination that a PROXY header names.
        admin: a Unix socket, or an address and port.
        witness: where it reports; the same.
        in_pod: it is in a pod of its own: the kernel redirects to it, listeners are bound as
            istiod says, and it dials the addresses that it is configured for.
        gateways: where the pods of gateways really listen, by their address and port.
    """

    listeners: Mapping[str, Path]
    admin: Path | tuple[str, int]
    witness: Path | tuple[str, int]
    control: tuple[str, int]
    in_pod: bool = False
    gateways: Mapping[tuple[str, int], Path] = field(default_factory=dict)


def embed(program: Program, sockets: Sockets, places: Places | None, secrets: Secrets) -> Json:
    """Return the bootstrap (as JSON) that runs ``program``.

    Args:
        program: what istiod would push.
        sockets: where this proxy listens and reports.
        places: the simulated outside; None asks the real one (``--egress-live``).
        secrets: the files that TLS is made from.
    """
    assignments = {item["cluster_name"]: item for item in program.endpoints}
    moved: set[str] = set()
    if sockets.gateways:
        assignments, moved = move_endpoints(assignments, sockets.gateways)
    clusters = [
        embed_cluster(
            item,
            assignments,
            places,
            secrets,
            patient=item["name"] in program.patient,
            to_gateway=item["name"] in moved,
        )
        for item in program.clusters
    ]
    rewriter = _Rewriter(program, places, secrets, in_pod=sockets.in_pod)
    bootstrap: Json = {
        "node": {"id": "pytest-egress", "cluster": "pytest-egress"},
        "admin": {"address": _address(sockets.admin, mode=0o600)},
        "layered_runtime": {"layers": [{"name": "static", "static_layer": _RUNTIME}]},
        # Statistics would double the start time and the memory of a large contract.
        "stats_config": {"stats_matcher": {"reject_all": True}},
        "static_resources": {
            "listeners": [
                rewriter.listener(item, sockets.listeners.get(item["name"]))
                for item in (*program.listeners, control_listener(in_pod=sockets.in_pod))
            ],
            "clusters": [
                *(with_proxy_header(it) if it["name"] in moved else it for it in clusters),
                _plain_cluster(CONTROL_CLUSTER, socket_address(*sockets.control)),
                _plain_cluster(WITNESS_CLUSTER, _address(sockets.witness)),
            ],
        },
    }
    if places is not None:
        bootstrap["typed_dns_resolver_config"] = resolver(places)
    if places is not None and not sockets.in_pod:
        bootstrap["cluster_manager"] = {
            "upstream_bind_config": {"source_address": {"address": "127.0.0.1", "port_value": 0}}
        }
    return bootstrap


def _address(where: Path | tuple[str, int], **pipe: int) -> Json:
    if isinstance(where, tuple):
        return socket_address(*where)
    return {"pipe": {"path": str(where), **pipe}}


def _plain_cluster(name: str, address: Json) -> Json:
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    }


class _Rewriter:
    """Rewrites the listeners of one program."""

    def __init__(
        self, program: Program, places: Places | None, secrets: Secrets, *, in_pod: bool
    ) -> None:
        self._in_pod = in_pod
        self._marks = Marks(program)
        self._routes = {config["name"]: self._marks.routes(config) for config in program.routes}
        self._original = {c["name"] for c in program.clusters if c.get("type") == "ORIGINAL_DST"}
        self._dynamic = {
            c["name"]
            for c in program.clusters
            if c.get("cluster_type", {}).get("name") == "envoy.clusters.dynamic_forward_proxy"
        }
        declared = {
            int(cluster["name"].split("|")[1])
            for cluster in program.clusters
            if cluster["name"].startswith("outbound|")
        }
        self._places = places
        # In a pod addresses are what they are: nothing has been moved to loopback.
        self._moved = moved = None if in_pod else places
        self._dial_ports = (
            {} if moved is None else {port: moved.port_for(port) for port in {80, *declared}}
        )
        self._secrets = secrets

    def listener(self, listener: Json, path: Path | None) -> Json:
        """One listener, reporting to the witness; outside of a pod it is bound to no port.

        With a ``path`` it is dialled there, and a PROXY header comes before all else.
        """
        name = listener["name"]
        result = {
            **marked(listener, listener=name),
            "access_log": [access_log()],
            "filter_chains": [
                self._chain(name, index, chain)
                for index, chain in enumerate(listener.get("filter_chains", ()))
            ],
        }
        if "default_filter_chain" in listener:
            default = listener["default_filter_chain"]
            result["default_filter_chain"] = self._chain(name, -1, default)
        if path is not None:
            result["address"] = {"pipe": {"path": str(path), "mode": 0o600}}
            result["listener_filters"] = [PROXY_HEADER, *listener.get("listener_filters", ())]
            result.pop("bind_to_port", None)
        elif not self._in_pod:
            # An address that a pod would really bind (Sidecar captureMode NONE) is reached by
            # its destination as well: nothing here listens on a port.
            result["bind_to_port"] = False
        return result

    def _chain(self, listener: str, index: int, chain: Json) -> Json:
        filters = []
        route_config = ""
        for item in chain["filters"]:
            config = item["typed_config"]
            kind = config["@type"]
            if kind == _HCM:
                config = self._hcm(config)
                route_config = config["route_config"]["name"]
                filters.append(REMEMBER_SOURCE)
            elif kind == _TCP_PROXY:
                config = {**config, **opened_log()}
            elif kind == _SNI_DFP and self._places is not None:
                config = with_resolver(config, self._places)
                config["port_value"] = self._places.port_for(config["port_value"])
            filters.append({**item, "typed_config": config})
        if self._moved and any(
            name in self._original for item in filters for name in _clusters_of(item)
        ):
            filters.insert(0, original_destination(self._moved.original_port()))
        marks = self._marks.chain(listener, index, chain)
        ends_tls = "yes" if "transport_socket" in chain else ""
        own = marked(marks, route_config=route_config, ends_tls=ends_tls)
        result = {**own, "filters": filters}
        if ends_tls:
            result["transport_socket"] = server_socket(chain["transport_socket"], self._secrets)
        if any(item["typed_config"]["@type"] == _HCM for item in filters):
            result.setdefault("name", HTTP_CHAIN)
        return result

    def _hcm(self, config: Json) -> Json:
        result = dict(config)
        rds = result.pop("rds", None)
        if rds is not None:
            name = rds["route_config_name"]
            result["route_config"] = self._routes.get(name, {"name": name})
        result["access_log"] = [access_log()]
        missing = self._marks.filters(result["route_config"])
        result["http_filters"] = [*missing, *config["http_filters"]]
        if self._places is None:
            return result
        result["http_filters"] = with_resolver(result["http_filters"], self._places)
        if self._moved is None:
            return result
        if not self._dynamic.isdisjoint(route_clusters(result["route_config"])):
            # In front of every other filter: istiod adds the forward proxy's own filter for the
            # first service of a port only, and without it the cluster itself resolves and dials.
            for item in result["http_filters"]:
                if item.get("typed_config", {}).get("@type") == _HTTP_DFP:
                    item["typed_config"]["allow_dynamic_host_from_filter_state"] = True
            filters = dynamic_port(self._dial_ports, self._moved.original_port())
            result["http_filters"] = [*filters, *result["http_filters"]]
            result["route_config"] = self._redialled(result["route_config"], self._moved)
        return result

    def _redialled(self, config: Json, places: Places) -> Json:
        """A route configuration that dials rewritten hosts where the cluster resolves names.

        Such a cluster dials the Host header as the route has rewritten it, by its rule or else by
        its destination.
        """

        def place(authority: str) -> tuple[str, int]:
            host, _, port = authority.rpartition(":")
            if not host or not port.isdecimal():
                host, port = authority, "80"
            if is_ip(host):
                return places.locate(host, int(port))
            return host, places.port_for(int(port))

        def dialled(target: Json, cluster: str, authority: str) -> Json:
            if cluster not in self._dynamic or not authority:
                return target
            others = target.get("typed_per_filter_config", {})
            return {
                **target,
                "typed_per_filter_config": {**others, **dynamic_host(*place(authority))},
            }

        def route(item: Json) -> Json:
            action = item.get("route", {})
            authority = action.get("host_rewrite_literal", "")
            item = dialled(item, action.get("cluster", ""), authority)
            weights = action.get("weighted_clusters", {}).get("clusters")
            if not weights:
                return item
            weights = [
                dialled(it, it["name"], authority or it.get("host_rewrite_literal", ""))
                for it in weights
            ]
            split = {**action["weighted_clusters"], "clusters": weights}
            return {**item, "route": {**action, "weighted_clusters": split}}

        return {
            **config,
            "virtual_hosts": [
                {**host, "routes": list(map(route, host["routes"]))}
                for host in config["virtual_hosts"]
            ],
        }


def _clusters_of(filter_: Json) -> Iterator[str]:
    """Name the clusters that a network filter can send traffic to."""
    config = filter_["typed_config"]
    if config["@type"] == _TCP_PROXY:
        yield from named_clusters(config)
    elif config["@type"] == _HCM:
        yield from route_clusters(config["route_config"])

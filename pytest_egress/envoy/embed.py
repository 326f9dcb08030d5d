"""From istiod's configuration to a bootstrap that a stock Envoy runs on one machine.

The program is istiod's: listeners, routes and clusters keep their names and matches. What
changes is only what ties it to a pod and a control plane:

- ``virtualOutbound`` listens on a Unix socket and learns the original destination from a PROXY
  header, in place of an iptables redirect; no listener binds a port;
- routes and endpoints are inlined, since there is no xDS server;
- each listener and each HTTP connection manager reports to the witness (access log);
- when the outside is simulated, every upstream address is replaced by the place on loopback that
  stands for it, and every upstream socket is bound to 127.0.0.1, from where the kernel lets
  nothing leave the machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

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
from pytest_egress.envoy.marks import Marks, named_clusters, route_clusters
from pytest_egress.envoy.program import Program

__all__ = ["Places", "Sockets", "embed"]

Json = dict[str, Any]

_TYPE = "type.googleapis.com/envoy."
_HCM = _TYPE + "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_TCP_PROXY = _TYPE + "extensions.filters.network.tcp_proxy.v3.TcpProxy"
_SNI_DFP = _TYPE + "extensions.filters.network.sni_dynamic_forward_proxy.v3.FilterConfig"
_HTTP_DFP = _TYPE + "extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig"
_DEFAULT_CONNECT_TIMEOUT = "10s"  # meshConfig.connectTimeout
_LOOPBACK_CONNECT_TIMEOUT = "1s"
# What pilot-agent's bootstrap sets (pkg/bootstrap/config.go, extractRuntimeFlags).
_RUNTIME = {
    "re2.max_program_size.error_level": 32768,
    "envoy.reloadable_features.http_reject_path_with_fragment": False,
}


class Places(Protocol):
    """What the embedding asks of the simulated outside; see `pytest_egress.upstream.Outside`."""

    @property
    def proxy_dns(self) -> tuple[str, int]:
        """The name server that answers with places on loopback."""
        ...

    def port_for(self, port: int) -> int:
        """The loopback port that stands for ``port`` on every place."""
        ...

    def locate(self, address: str, port: int, *, dedicated: bool = False) -> tuple[str, int]:
        """The place that stands for a simulated address and port."""
        ...

    def original_port(self, override: int = 0) -> int:
        """The loopback port of places for original destinations."""
        ...


@dataclass(frozen=True, slots=True)
class Sockets:
    """The Unix sockets of one proxy, all in its private directory, and the control's upstream.

    Attributes:
        listeners: where a listener is dialled, by its name; the others are reached through
            ``virtualOutbound``, by the destination that a PROXY header names.
        gateways: where the pods of gateways really listen, by their address and port.
    """

    listeners: Mapping[str, Path]
    admin: Path
    witness: Path
    control: tuple[str, int]
    gateways: Mapping[tuple[str, int], Path] = field(default_factory=dict)


def embed(program: Program, sockets: Sockets, places: Places | None) -> Json:
    """Return the bootstrap (as JSON) that runs ``program``.

    Args:
        program: what istiod would push.
        sockets: where this proxy listens and reports.
        places: the simulated outside; None asks the real one (``--egress-live``).
    """
    assignments = {item["cluster_name"]: item for item in program.endpoints}
    moved: set[str] = set()
    if sockets.gateways:
        assignments, moved = move_endpoints(assignments, sockets.gateways)
    clusters = [_cluster(item, assignments, places) for item in program.clusters]
    rewriter = _Rewriter(program, places)
    bootstrap: Json = {
        "node": {"id": "pytest-egress", "cluster": "pytest-egress"},
        "admin": {"address": {"pipe": {"path": str(sockets.admin), "mode": 0o600}}},
        "layered_runtime": {"layers": [{"name": "static", "static_layer": _RUNTIME}]},
        # Statistics would double the start time and the memory of a large contract.
        "stats_config": {"stats_matcher": {"reject_all": True}},
        "static_resources": {
            "listeners": [
                rewriter.listener(item, sockets.listeners.get(item["name"]))
                for item in (*program.listeners, control_listener())
            ],
            "clusters": [
                *(with_proxy_header(it) if it["name"] in moved else it for it in clusters),
                _plain_cluster(CONTROL_CLUSTER, _socket_address(*sockets.control)),
                _plain_cluster(WITNESS_CLUSTER, {"pipe": {"path": str(sockets.witness)}}),
            ],
        },
    }
    if places is not None:
        bootstrap["typed_dns_resolver_config"] = _resolver(places)
        bootstrap["cluster_manager"] = {
            "upstream_bind_config": {"source_address": {"address": "127.0.0.1", "port_value": 0}}
        }
    return bootstrap


def _socket_address(address: str, port: int) -> Json:
    return {"socket_address": {"address": address, "port_value": port}}


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


def _resolver(places: Places) -> Json:
    address, port = places.proxy_dns
    return {
        "name": "envoy.network.dns_resolver.cares",
        "typed_config": {
            "@type": _TYPE + "extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
            "resolvers": [_socket_address(address, port)],
            # A name server on loopback answers at once or, when it is told to, never.
            "query_timeout_seconds": 1,
            "query_tries": 2,
            "dns_resolver_options": {"no_default_search_domain": True},
            "udp_max_queries": 100,
        },
    }


def _cluster(cluster: Json, assignments: Mapping[str, Json], places: Places | None) -> Json:
    """Inline the endpoints of a cluster and point it at the simulated outside."""
    result = dict(cluster)
    kind = result.get("type")
    if kind == "EDS":
        result.pop("eds_cluster_config", None)
        result["type"] = "STATIC"
        result["load_assignment"] = assignments.get(
            result["name"], {"cluster_name": result["name"]}
        )
    # Mutual TLS between sidecars needs the mesh's own CA. Its endpoints are spoken to in plain
    # text, which changes neither the route nor the verdict.
    result.pop("transport_socket_matches", None)
    result.pop("transport_socket", None)
    if places is None:
        return result
    # On loopback a connection is there at once or never, and a TCP proxy makes its record only when
    # the connect has ended: istiod's default of 10 s would outlast any probe.
    if result.get("connect_timeout") == _DEFAULT_CONNECT_TIMEOUT:
        result["connect_timeout"] = _LOOPBACK_CONNECT_TIMEOUT
    # One resolver for the whole process: thousands of clusters would each open their own.
    result.pop("typed_dns_resolver_config", None)
    if "load_assignment" in result:
        result["load_assignment"] = _assignment(result["load_assignment"], places)
    override = result.get("original_dst_lb_config", {}).get("upstream_port_override")
    if override:
        result["original_dst_lb_config"] = {
            "upstream_port_override": places.original_port(override)
        }
    if "cluster_type" in result:
        result["cluster_type"] = _with_resolver(result["cluster_type"], places)
    return result


def _assignment(assignment: Json, places: Places) -> Json:
    """A load assignment whose addresses are places; names stay names."""

    def endpoint(item: Json) -> Json:
        address = item["endpoint"]["address"].get("socket_address")
        if address is None:
            return item
        name, port = address["address"], address["port_value"]
        place = (
            places.locate(name, port, dedicated=True)
            if _is_address(name)
            else (name, places.port_for(port))
        )
        return {**item, "endpoint": {**item["endpoint"], "address": _socket_address(*place)}}

    return {
        **assignment,
        "endpoints": [
            {**group, "lb_endpoints": [endpoint(item) for item in group.get("lb_endpoints", ())]}
            for group in assignment.get("endpoints", ())
        ],
    }


def _is_address(text: str) -> bool:
    return ":" in text or text.replace(".", "").isdigit()


def _with_resolver(value: Any, places: Places) -> Any:
    """Give each DNS cache of a dynamic forward proxy the resolver of the simulated outside."""
    if isinstance(value, dict):
        result = {key: _with_resolver(item, places) for key, item in value.items()}
        if "dns_cache_config" in result:
            result["dns_cache_config"]["typed_dns_resolver_config"] = _resolver(places)
        return result
    if isinstance(value, list):
        return [_with_resolver(item, places) for item in value]
    return value


class _Rewriter:
    """Rewrites the listeners of one program."""

    def __init__(self, program: Program, places: Places | None) -> None:
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
        self._dial_ports = (
            {} if places is None else {port: places.port_for(port) for port in {80, *declared}}
        )
        self._places = places

    def listener(self, listener: Json, path: Path | None) -> Json:
        """One listener, reporting to the witness and bound to no port.

        With a ``path`` it is dialled there, and a PROXY header comes before all else.
        """
        name = listener["name"]
        result = {
            **listener,
            "access_log": [access_log("connection", name)],
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
        else:
            # An address that a pod would really bind (Sidecar captureMode NONE) is reached by
            # its destination as well: nothing here listens on a port.
            result["bind_to_port"] = False
        return result

    def _chain(self, listener: str, index: int, chain: Json) -> Json:
        filters = []
        for item in chain["filters"]:
            config = item["typed_config"]
            kind = config["@type"]
            if kind == _HCM:
                config = self._hcm(listener, config)
                filters.append(REMEMBER_SOURCE)
            elif kind == _TCP_PROXY:
                config = {**config, **opened_log(listener)}
            elif kind == _SNI_DFP and self._places is not None:
                config = _with_resolver(config, self._places)
                config["port_value"] = self._places.port_for(config["port_value"])
            filters.append({**item, "typed_config": config})
        if self._places is not None and any(
            name in self._original for item in filters for name in _clusters_of(item)
        ):
            filters.insert(0, original_destination(self._places.original_port()))
        result = {**self._marks.chain(listener, index, chain), "filters": filters}
        if any(item["typed_config"]["@type"] == _HCM for item in filters):
            result.setdefault("name", HTTP_CHAIN)
        return result

    def _hcm(self, listener: str, config: Json) -> Json:
        result = dict(config)
        rds = result.pop("rds", None)
        if rds is not None:
            name = rds["route_config_name"]
            result["route_config"] = self._routes.get(name, {"name": name})
        route_config = result["route_config"]["name"]
        result["access_log"] = [access_log("http", listener, route_config)]
        missing = self._marks.filters(result["route_config"])
        result["http_filters"] = [*missing, *config["http_filters"]]
        if self._places is None:
            return result
        result["http_filters"] = _with_resolver(result["http_filters"], self._places)
        if not self._dynamic.isdisjoint(route_clusters(result["route_config"])):
            # In front of every other filter: istiod adds the forward proxy's own filter for the
            # first service of a port only, and without it the cluster itself resolves and dials.
            for item in result["http_filters"]:
                if item.get("typed_config", {}).get("@type") == _HTTP_DFP:
                    item["typed_config"]["allow_dynamic_host_from_filter_state"] = True
            filters = dynamic_port(self._dial_ports, self._places.original_port())
            result["http_filters"] = [*filters, *result["http_filters"]]
            result["route_config"] = self._redialled(result["route_config"], self._places)
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
            if _is_address(host):
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

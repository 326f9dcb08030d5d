"""Rules for a Sidecar: istiod's ``ValidateSidecar`` and the CRD's CEL rules, outbound half."""

from __future__ import annotations

from typing import Any

from pytest_egress.contract.connection_pool import check_connection_pool
from pytest_egress.contract.report import Path, Report
from pytest_egress.contract.resources import Metadata
from pytest_egress.contract.schema import WRONG
from pytest_egress.contract.selector import check_selector
from pytest_egress.contract.sidecar_inbound import check_ingress
from pytest_egress.contract.syntax import (
    fqdn_flaw,
    host_flaw,
    is_dns_label,
    is_ip,
    is_partial_wildcard,
    port_flaw,
    port_name_flaw,
    protocol_flaw,
    unix_path_flaw,
)

__all__ = ["check_sidecar"]

_UNIX = "unix://"


def check_sidecar(
    spec: dict[str, Any], raw: dict[str, Any], metadata: Metadata, report: Report
) -> None:
    """Report what istiod or the API server says of this Sidecar (see ``check_service_entry``)."""
    check_selector(spec.get("workloadSelector"), raw.get("workloadSelector"), "sidecar", report)
    says = {"outboundTrafficPolicy", "inboundConnectionPool"} & set(raw)
    if not says and all(raw.get(name, []) == [] for name in ("egress", "ingress")):
        if set(raw) <= {"egress", "ingress", "workloadSelector"}:  # else a misspelt one is reported
            message = "the Sidecar says nothing: give egress, ingress or outboundTrafficPolicy"
            report.error("sidecar/empty", message, ("spec",), key=True)
        return
    ports: set[int] = set()
    sockets: set[str] = set()
    listeners = spec.get("egress", ())
    for i, listener in enumerate(listeners):
        if listener is WRONG:
            continue
        path: Path = ("spec", "egress", i)
        if "port" in raw["egress"][i]:
            _check_port(listener, raw["egress"][i], path, report)
            _check_unique(listener, path, ports, sockets, report)
        elif i != len(listeners) - 1:
            message = (
                "an egress listener without port must be the last of the list, and the only one"
            )
            report.error("sidecar/catch-all-last", message, path)
        if "hosts" in listener:
            _check_hosts(listener["hosts"], path, metadata, report)
    check_ingress(spec, raw, report)
    if "inboundConnectionPool" in spec:
        check_connection_pool(
            spec["inboundConnectionPool"],
            raw["inboundConnectionPool"],
            ("spec", "inboundConnectionPool"),
            report,
        )
    if "outboundTrafficPolicy" in spec:
        _check_policy(spec["outboundTrafficPolicy"], raw["outboundTrafficPolicy"], report)


def _check_port(listener: dict[str, Any], raw: dict[str, Any], path: Path, report: Report) -> None:
    port = listener.get("port")
    if port is None or ("number" in raw["port"] and "number" not in port):
        return
    bind, mode = listener.get("bind", ""), listener.get("captureMode", "DEFAULT")
    number = port.get("number", 0)
    name, protocol = port.get("name", ""), port.get("protocol", "")
    if name and (flaw := port_name_flaw(name)):
        report.error("sidecar/port-name", flaw, (*path, "port", "name"))
    if flaw := protocol_flaw(protocol):
        report.error("sidecar/protocol", flaw, (*path, "port", "protocol"))
    if port.get("targetPort", 0) > 0:
        message = "targetPort has no effect in a Sidecar: remove it"
        report.error("sidecar/target-port", message, (*path, "port", "targetPort"))
    if number == 0:
        if not bind.startswith(_UNIX):
            message = "a listener needs a port number, or a bind of unix:///path with port 0"
            report.error("sidecar/port-number", message, (*path, "port", "number"))
            return
        if flaw := unix_path_flaw(bind):
            report.error("sidecar/bind", flaw, (*path, "bind"))
        if mode == "IPTABLES":
            message = "captureMode IPTABLES cannot capture to a Unix socket: use DEFAULT or NONE"
            report.error("sidecar/capture-mode", message, (*path, "captureMode"))
        return
    if flaw := port_flaw(number):
        report.error("sidecar/port-number", flaw, (*path, "port", "number"))
    if bind and not is_ip(bind):
        message = f'bind "{bind}" is not an IP address'
        if bind.startswith(_UNIX):
            message += ": with a Unix socket the port number must be 0"
        report.error("sidecar/bind", message, (*path, "bind"))


def _check_unique(
    listener: dict[str, Any], path: Path, ports: set[int], sockets: set[str], report: Report
) -> None:
    number = listener.get("port", {}).get("number", 0)
    bind = listener.get("bind", "")
    if number in ports:
        message = f"port {number} has a listener already: ports are unique, whatever the bind"
        report.error("sidecar/port-duplicate", message, (*path, "port", "number"))
    elif number == 0 and bind in sockets and bind.startswith(_UNIX):
        message = f'"{bind}" has a listener already'
        report.error("sidecar/bind-duplicate", message, (*path, "bind"))
    if number:
        ports.add(number)
    else:
        sockets.add(bind)


def _check_hosts(hosts: list[Any], path: Path, metadata: Metadata, report: Report) -> None:
    place: Path = (*path, "hosts")
    if not hosts:
        message = 'a listener needs at least one host, such as "./*" or "*/api.example.com"'
        report.error("sidecar/hosts-required", message, place)
        return
    seen: dict[str, set[str]] = {}
    for i, host in enumerate(hosts):
        if host is WRONG:
            continue
        if flaw := _host_flaw(host):
            report.error("sidecar/host", flaw, (*place, i))
        namespace, slash, name = host.partition("/")
        if not slash or namespace.startswith("~"):
            continue
        names = seen.setdefault(metadata.namespace if namespace == "." else namespace, set())
        if (name in names or "*" in names) if name != "*" else names:
            message = f'"{host}" is covered by another host of this listener: remove one'
            report.warning("sidecar/host-duplicate", message, (*place, i))
        names.add(name)
    if "*" in seen.get("*", ()) and len(seen) != 1:
        message = '"*/*" selects everything: the other hosts of this listener do nothing'
        report.warning("sidecar/host-all", message, (*place, hosts.index("*/*")))


def _host_flaw(host: str) -> str | None:
    namespace, slash, name = host.partition("/")
    if not slash:
        return f'"{host}" needs the form namespace/host: "*/{host}" or "./{host}"'
    if not namespace or not name:
        return f'"{host}" needs a namespace and a host, such as "./*"'
    bare = namespace.removeprefix("~")
    if bare not in {"", "*", "."} and not is_dns_label(bare):
        return f'"{namespace}" is not a namespace: expected "*", "." or a name ("~name" excludes)'
    if name == "*":
        return None
    if flaw := host_flaw(name):
        return flaw
    if "." not in name:
        return (
            f'"{name}" is a short name: give the full name, such as {name}.shop.svc.cluster.local'
        )
    if is_partial_wildcard(name):
        return f'partial wildcard "{name}" is not allowed: use "*.domain"'
    return None


def _check_policy(policy: dict[str, Any], raw: dict[str, Any], report: Report) -> None:
    path: Path = ("spec", "outboundTrafficPolicy")
    if "mode" in raw and "mode" not in policy:
        return
    if "egressProxy" not in policy:
        return
    proxy = policy["egressProxy"]
    path = (*path, "egressProxy")
    if policy.get("mode") != "ALLOW_ANY":
        message = "egressProxy needs outboundTrafficPolicy.mode ALLOW_ANY"
        report.error("sidecar/egress-proxy-mode", message, path, key=True)
        return
    if "host" in proxy and (flaw := fqdn_flaw(proxy["host"])):
        report.error("sidecar/egress-proxy-host", flaw, (*path, "host"))
    if "port" not in raw["egressProxy"]:
        message = "egressProxy needs a port: port: {number: 3128}"
        report.error("sidecar/egress-proxy-port", message, (*path, "port"))
    elif "port" in proxy and (flaw := port_flaw(proxy["port"].get("number", 0))):
        report.error("sidecar/egress-proxy-port", flaw, (*path, "port", "number"))
    subset = proxy.get("subset", "")
    if subset and not is_dns_label(subset):
        message = f'"{subset}" is not a subset name: letters, digits and inner hyphens'
        report.error("sidecar/egress-proxy-subset", message, (*path, "subset"))

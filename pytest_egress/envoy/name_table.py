"""The name table that istiod sends to the agent beside a proxy: the hosts it answers for itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from pytest_egress.envoy.instances import Registry
from pytest_egress.envoy.names import WILDCARD_ADDRESS, is_ip
from pytest_egress.envoy.scope import Scope
from pytest_egress.envoy.services import Service

__all__ = ["Name", "name_table"]


@dataclass(frozen=True, slots=True)
class Name:
    """What is known of one host.

    Attributes:
        addresses: IPv4 and IPv6, in istiod's order, some perhaps twice.
        kubernetes: name and namespace of the Service that it is; empty for a ServiceEntry.
    """

    addresses: tuple[str, ...]
    kubernetes: tuple[str, str] | tuple[()] = ()


def name_table(scope: Scope, registry: Registry) -> Mapping[str, Name]:
    """The hosts with addresses among the services that a workload sees (``BuildNameTable``).

    Several services of one host add up; a Kubernetes Service counts alone.
    """
    table: dict[str, Name] = {}
    for egress in scope.egress:
        for service in egress.services:
            addresses = tuple(_addresses(service, registry))
            if not addresses:
                continue
            known = table.get(service.host)
            if service.of_kubernetes:
                if known is None or not known.kubernetes:
                    metadata = service.entry.metadata
                    table[service.host] = Name(addresses, (metadata.name, metadata.namespace))
            elif known is None:
                table[service.host] = Name(addresses)
            elif not known.kubernetes:
                table[service.host] = replace(known, addresses=known.addresses + addresses)
    return table


def _addresses(service: Service, registry: Registry) -> Iterator[str]:
    """The service's own address; of a headless Kubernetes Service those of its ready pods.

    Nothing says that a ServiceEntry's endpoints are ready: its hosts without address have none.
    """
    if service.address != WILDCARD_ADDRESS:
        if is_ip(service.address):
            yield service.address
    elif service.resolution == "NONE" and service.ports:
        first = service.ports[0].number
        for instance in registry.instances(service):
            if instance.ready and instance.service_port == first and is_ip(instance.address):
                yield instance.address

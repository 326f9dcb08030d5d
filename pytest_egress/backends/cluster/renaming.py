"""Names of a contract with egress gateways, in a run's own namespaces; pure functions.

Namespaces have other names there, and so have the hosts of Services in them. The labels of a
gateway's pods have values of the run's own: a Gateway of the mesh around it does not select them,
and those of the run select no gateway of the mesh.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["RUN_LABEL", "Renaming", "shortened"]

Json = dict[str, Any]

#: On the pods of gateways, and in the selector of each Gateway: it selects none of another run.
RUN_LABEL = "pytest-egress/run"
_MESH = "mesh"
_NONE = frozenset({"", ".", "*", "~"})  # no namespace, the own one, every one
_OLD_NAME = re.compile(r"([^./]+)\.([^./]+)(\..*)?")  # of a Gateway: as if it were a Service
_LONGEST = 63  # characters of a namespace's name, and of a label's value


def shortened(name: str, whole: str) -> str:
    """A name of at most 63 characters; what is cut stays distinct by a digest of ``whole``."""
    if len(name) <= _LONGEST:
        return name
    digest = hashlib.sha256(whole.encode()).hexdigest()[:8]
    return f"{name[: _LONGEST - 9].rstrip('-._')}-{digest}"


@dataclass(frozen=True, slots=True)
class Renaming:
    """What is called otherwise in the cluster.

    Attributes:
        prefix: the run's own.
        spaces: the namespaces of the contract.
        services: name and namespace of each Service that is applied, as in the contract.
    """

    prefix: str
    spaces: frozenset[str] = frozenset()
    services: frozenset[tuple[str, str]] = frozenset()

    def labels(self, labels: Mapping[str, str]) -> dict[str, str]:
        """Labels of a gateway's pods, or what selects them by some of these."""
        return {key: self._value(value) for key, value in labels.items()}

    def namespace(self, name: str) -> str:
        """The cluster's name for a namespace of the contract."""
        return name if name in _NONE else shortened(f"{self.prefix}-{name}", name)

    def spec(self, kind: str, namespace: str, spec: Json) -> Json:
        """The spec of a resource.

        Args:
            kind: of the resource.
            namespace: of the resource, in the contract.
            spec: as it was written, hosts and references included.
        """
        result: Json = self._texts(spec) if self.services else spec
        if kind == "VirtualService":
            self._virtual_service(result)
        elif kind == "Gateway":
            self._gateway(result)
        elif kind == "DestinationRule" and self._is_service(str(spec.get("host")), namespace):
            for subset in result.get("subsets") or ():
                if subset.get("labels"):
                    subset["labels"] = self.labels(subset["labels"])
        return result

    def host(self, host: str) -> str:
        """The host of a Service; any other stays as it is."""
        return str(self._texts(host))

    def _value(self, value: str) -> str:
        return shortened(f"{self.prefix}-{value}" if value else self.prefix, value)

    def _is_service(self, host: str, namespace: str) -> bool:
        name, _, rest = host.partition(".")
        return (name, rest.partition(".")[0] or namespace) in self.services

    def _texts(self, value: Any) -> Any:
        """Hosts of Services, and namespaces in identities of the mesh, wherever they stand."""
        pattern = self._pattern()

        def renamed(found: re.Match[str]) -> str:
            name, space, identity = found.groups()
            if identity is not None:
                return self.namespace(identity) if identity in self.spaces else identity
            return f"{name}.{self.namespace(space)}"

        def walk(item: Any) -> Any:
            if isinstance(item, str):
                return pattern.sub(renamed, item)
            if isinstance(item, dict):
                return {key: walk(inner) for key, inner in item.items()}
            if isinstance(item, list):
                return [walk(inner) for inner in item]
            return item

        return walk(value)

    def _pattern(self) -> re.Pattern[str]:
        hosts = "|".join(
            f"{re.escape(name)}\\.{re.escape(space)}" for name, space in sorted(self.services)
        )
        host = rf"(?<![a-z0-9-])(?=(?:{hosts})\.svc(?![a-z0-9-]))([a-z0-9-]+)\.([a-z0-9-]+)"
        return re.compile(rf"{host}|(?<=/ns/)([a-z0-9-]+)(?=/sa/)")

    def _reference(self, gateway: str) -> str:
        """A Gateway as a VirtualService names it."""
        source, slash, name = gateway.partition("/")
        if slash:
            return f"{self.namespace(source)}/{name}"
        old = _OLD_NAME.fullmatch(gateway)
        if gateway == _MESH or old is None:
            return gateway
        return f"{old[1]}.{self.namespace(old[2])}{old[3] or ''}"

    def _references(self, holder: Json) -> None:
        if holder.get("gateways"):
            holder["gateways"] = [self._reference(it) for it in holder["gateways"]]

    def _virtual_service(self, spec: Json) -> None:
        self._references(spec)
        for kind in ("http", "tls", "tcp"):
            for rule in spec.get(kind) or ():
                for match in rule.get("match") or ():
                    self._references(match)
                    if match.get("sourceNamespace"):
                        match["sourceNamespace"] = self.namespace(match["sourceNamespace"])
                delegate = rule.get("delegate") or {}
                if delegate.get("namespace"):
                    delegate["namespace"] = self.namespace(delegate["namespace"])

    def _gateway(self, spec: Json) -> None:
        selector = self.labels(spec.get("selector") or {})
        spec["selector"] = {**selector, RUN_LABEL: self.prefix}
        for server in spec.get("servers") or ():
            server["hosts"] = list(self._server_hosts(server.get("hosts") or ()))

    def _server_hosts(self, hosts: Iterable[str]) -> Iterable[str]:
        for host in hosts:
            source, slash, name = host.partition("/")
            yield f"{self.namespace(source)}/{name}" if slash else host

"""The ``hosts`` of a Sidecar egress listener: which services they import."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pytest_egress.envoy.names import is_wildcard, subset_of
from pytest_egress.envoy.services import Service

__all__ = ["Imports"]


@dataclass(frozen=True, slots=True)
class _Names:
    """What is imported from one namespace."""

    exact: frozenset[str]
    wildcards: tuple[str, ...]
    excluded: tuple[str, ...]

    def match(self, host: str) -> bool:
        return host in self.exact or any(subset_of(host, pattern) for pattern in self.wildcards)

    def match_virtual_host(self, host: str) -> bool:
        """Whether a VirtualService's host overlaps with an import, whichever of them is wider."""
        if host in self.exact:
            return True
        exact = self.exact if is_wildcard(host) else ()
        return any(
            subset_of(host, name) or subset_of(name, host) for name in (*exact, *self.wildcards)
        )

    def excludes(self, host: str) -> bool:
        return any(subset_of(host, pattern) for pattern in self.excluded)


@dataclass(frozen=True, slots=True)
class Imports:
    """Parsed ``namespace/dnsName`` patterns, by namespace; ``*`` stands for any.

    ``all_exact`` says that no pattern has a wildcard in either half.
    """

    by_namespace: Mapping[str, _Names]
    all_exact: bool

    @classmethod
    def parse(cls, hosts: Iterable[str], namespace: str) -> Imports:
        """Read the patterns; ``.`` is ``namespace``, a leading ``~`` excludes (Istio 1.31).

        Patterns without exactly one slash are left out, as istiod does.
        """
        exact: dict[str, set[str]] = {}
        wildcards: dict[str, list[str]] = {}
        excluded: dict[str, list[str]] = {}
        all_exact = True
        for text in hosts:
            if text.count("/") != 1:
                continue
            source, _, host = text.partition("/")
            exclusion = source.startswith("~")
            if exclusion:
                source = source[1:] or "*"
            if source == ".":
                source = namespace
            if exclusion:
                excluded.setdefault(source, []).append(host)
                continue
            all_exact = all_exact and source != "*" and not is_wildcard(host)
            if is_wildcard(host):
                wildcards.setdefault(source, []).append(host)
            else:
                exact.setdefault(source, set()).add(host)
        names = {
            source: _Names(
                frozenset(exact.get(source, ())),
                tuple(wildcards.get(source, ())),
                tuple(excluded.get(source, ())),
            )
            for source in {**exact, **wildcards, **excluded}
        }
        return cls(names, all_exact)

    def names_exactly(self, service: Service) -> bool:
        """Whether the service's own namespace and host are written out."""
        names = self.by_namespace.get(service.namespace)
        return names is not None and service.host in names.exact

    def match(self, service: Service) -> bool:
        """Whether the service is imported: its namespace's patterns first, then those of ``*``."""
        own = self.by_namespace.get(service.namespace)
        any_namespace = self.by_namespace.get("*")
        sources = [names for names in (own, any_namespace) if names is not None]
        host = service.host
        if any(names.excludes(host) for names in sources):
            return False
        return any(names.match(host) for names in sources)

    def match_virtual_host(self, namespace: str, host: str) -> bool:
        """Whether a host of a VirtualService in ``namespace`` is imported.

        Other than a service, a VirtualService for ``*.com`` is also imported by ``a.com``.
        """
        sources = [
            names
            for names in (self.by_namespace.get(namespace), self.by_namespace.get("*"))
            if names is not None
        ]
        if any(names.excludes(host) for names in sources):
            return False
        return any(names.match_virtual_host(host) for names in sources)

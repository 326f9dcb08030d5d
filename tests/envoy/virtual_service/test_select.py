"""Which VirtualServices a workload sees, and what they pull into its scope."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_egress.contract.resources import Resource
from pytest_egress.contract.virtual_service.resource import VirtualService
from pytest_egress.envoy.virtual_service.merge import merge_virtual_services
from pytest_egress.envoy.virtual_service.select import HostIndex
from tests.envoy.build import (
    by_name,
    compiled,
    contract_of,
    entry,
    mesh,
    names,
    sidecar,
    virtual_service,
)


def marked(name: str, host: str = "a.example.com", spec: str = "", **fields: Any) -> VirtualService:
    """A VirtualService whose only route has its name."""
    rule = f"{{name: {name}, route: [{{destination: {{host: a.example.com}}}}]}}"
    return virtual_service(f"{{hosts: ['{host}'], http: [{rule}]{spec}}}", name=name, **fields)


def decides(*resources: Resource, host: str = "a.example.com", **workload: Any) -> str:
    """The name of the first route of a host on port 80."""
    resources = (entry("a.example.com", "80/HTTP", name="a"), *resources)
    hosts = by_name(compiled(*resources, **workload).routes, "80")["virtual_hosts"]
    return str(next(it["routes"][0] for it in hosts if it["name"] == f"{host}:80")["name"])


@pytest.mark.parametrize(
    ("spec", "seen"),
    [
        ("", True),
        (", gateways: [mesh]", True),
        (", gateways: [mesh, egress]", True),
        (", gateways: [egress]", False),
        (", exportTo: ['*']", True),
        (", exportTo: [shop]", True),
        (", exportTo: [other]", False),
        (", exportTo: [.]", False),
    ],
)
def test_gateways_and_export_to(spec: str, seen: bool) -> None:
    """Only those bound to the mesh and exported to the workload's namespace count."""
    found = decides(marked("v", spec=spec, namespace="routing"), namespace="shop")
    assert found == ("v" if seen else "default")


def test_mesh_default_of_export_to() -> None:
    """``defaultVirtualServiceExportTo`` speaks for those that say nothing."""
    settings = mesh(default_virtual_service_export_to=(".",))
    service = marked("v", namespace="routing")
    assert decides(service, mesh=settings, namespace="shop") == "default"
    assert decides(service, mesh=settings, namespace="routing") == "v"


def test_first_of_a_host_wins() -> None:
    """Private before exported by name before public; the oldest within each."""
    public = marked("public", creation_timestamp=1)
    younger = marked("younger", creation_timestamp=2)
    exported = marked("exported", spec=", exportTo: [shop]", namespace="b", creation_timestamp=3)
    private = marked("private", spec=", exportTo: [.]", namespace="shop", creation_timestamp=4)
    assert decides(younger, public, namespace="shop") == "public"
    assert decides(younger, public, exported, namespace="shop") == "exported"
    assert decides(younger, public, exported, private, namespace="shop") == "private"


@pytest.mark.parametrize(
    ("egress", "host", "seen"),
    [
        ("*/*", "a.example.com", True),
        ("*/a.example.com", "a.example.com", True),
        ("routing/*", "a.example.com", True),
        ("shop/*", "a.example.com", False),
        ("*/*.example.com", "a.example.com", True),
        # Other than a service, a VirtualService is imported by what it is wider than.
        ("*/a.example.com", "*.example.com", True),
        ("*/a.example.com", "*.com", True),
        ("*/b.example.com", "a.example.com", False),
    ],
)
def test_sidecar_imports(egress: str, host: str, seen: bool) -> None:
    """A Sidecar's hosts decide over VirtualServices as well."""
    service = marked("v", host, namespace="routing")
    scope = sidecar(f"default/a.example.com {egress}", namespace="shop")
    assert decides(service, scope, namespace="shop") == ("v" if seen else "default")


def test_sidecar_exclusion() -> None:
    """A host behind ``~`` is not imported; another host of the VirtualService still brings it."""
    excluding = sidecar("*/a.example.com */b.test ~routing/a.example.com")
    assert decides(marked("v"), excluding) == "v"
    assert decides(marked("v", namespace="routing"), excluding) == "default"
    rule = "{name: v, route: [{destination: {host: a.example.com}}]}"
    two = virtual_service(
        f"{{hosts: [a.example.com, b.test], http: [{rule}]}}", namespace="routing"
    )
    assert decides(two, excluding) == "v"


@pytest.mark.parametrize(
    ("patterns", "best"),
    [
        (["*.com", "*.example.com"], "*.example.com"),
        (["*.com", "a.example.com"], "a.example.com"),
        (["*.com"], "*.com"),
        (["*.test"], "default"),
    ],
)
def test_most_specific_host_wins(patterns: list[str], best: str) -> None:
    """A wildcard speaks for the services that no other VirtualService matches better."""
    services = [
        marked(f"v{i}", pattern, creation_timestamp=i) for i, pattern in enumerate(patterns)
    ]
    found = decides(*services)
    assert found == (f"v{patterns.index(best)}" if best in patterns else best)


def test_oldest_of_one_wildcard_wins() -> None:
    """Two VirtualServices for one wildcard: the older one."""
    old = marked("old", "*.example.com", creation_timestamp=1)
    young = marked("young", "*.example.com", creation_timestamp=2)
    assert decides(young, old) == "old"


def test_wildcard_service() -> None:
    """A VirtualService for a host below a wildcard service has a virtual host on port 80 only."""
    resources = [
        entry("*.example.com", "80/HTTP 8080/HTTP", resolution="NONE"),
        marked("v", "x.example.com"),
    ]
    program = compiled(*resources)
    on_80 = by_name(program.routes, "80")["virtual_hosts"]
    on_8080 = by_name(program.routes, "8080")["virtual_hosts"]
    assert [it["name"] for it in on_80] == ["*.example.com:80", "x.example.com:80", "block_all"]
    assert [it["name"] for it in on_8080] == ["*.example.com:8080", "block_all"]
    assert on_80[1]["domains"] == ["x.example.com"]  # no trailing dot, no short forms


def clusters(*resources: Resource, **workload: Any) -> list[str]:
    """The clusters of services, in order."""
    return names(compiled(*resources, **workload).clusters)


def leading_to(destinations: str, **fields: Any) -> VirtualService:
    """A VirtualService of a.example.com that leads to other hosts."""
    return virtual_service(
        f"{{hosts: [a.example.com], http: [{{route: [{destinations}]}}]}}", **fields
    )


def test_destinations_come_into_scope() -> None:
    """What an imported VirtualService leads to has clusters, with the ports it names."""
    resources = [
        entry("a.example.com", "80/HTTP"),
        entry("b.example.com", "80/HTTP 443/TLS 8080/HTTP"),
        sidecar("*/a.example.com"),
    ]
    own = ["outbound|80||a.example.com"]
    assert clusters(*resources) == own
    named = leading_to("{destination: {host: b.example.com, port: {number: 443}}}")
    assert clusters(*resources, named) == [*own, "outbound|443||b.example.com"]
    # A destination without port may mean any.
    unnamed = leading_to("{destination: {host: b.example.com}}")
    assert len(clusters(*resources, unnamed)) == 4
    absent = leading_to("{destination: {host: b.example.com, port: {number: 9}}}")
    assert clusters(*resources, absent) == own


def test_destinations_of_a_sidecars_port() -> None:
    """An egress listener with a port brings in that port alone."""
    resources = [
        entry("a.example.com", "80/HTTP"),
        entry("b.example.com", "80/HTTP 443/TLS"),
        sidecar("80/HTTP */a.example.com"),
        leading_to("{destination: {host: b.example.com}}"),
    ]
    assert clusters(*resources) == ["outbound|80||a.example.com", "outbound|80||b.example.com"]


def test_destination_of_several_namespaces() -> None:
    """The workload's own namespace counts first, else the oldest that is visible."""
    resources = [
        entry("a.example.com", "80/HTTP", creation_timestamp=1),
        sidecar("*/a.example.com", namespace="shop"),
        sidecar("*/a.example.com", namespace="edge"),
        leading_to("{destination: {host: b.example.com}}"),
        entry("b.example.com", "81/HTTP", namespace="x", export_to=(".",), creation_timestamp=2),
        entry("b.example.com", "82/HTTP", namespace="y", creation_timestamp=3),
        entry("b.example.com", "83/HTTP", namespace="shop", export_to=("~",)),
    ]
    assert clusters(*resources, namespace="edge")[1:] == ["outbound|82||b.example.com"]
    assert clusters(*resources, namespace="shop")[1:] == ["outbound|83||b.example.com"]


def test_destination_for_other_namespaces_is_left_out() -> None:
    """A rule for another source namespace brings nothing in."""
    resources = [
        entry("a.example.com", "80/HTTP"),
        entry("b.example.com", "80/HTTP"),
        sidecar("*/a.example.com", namespace="shop"),
        virtual_service(
            """{hosts: [a.example.com], http: [{match: [{sourceNamespace: other}],
            route: [{destination: {host: b.example.com}}]}]}"""
        ),
    ]
    assert clusters(*resources, namespace="shop") == ["outbound|80||a.example.com"]


def test_pulled_in_cluster_knows_its_entry() -> None:
    """The origin of a cluster is its ServiceEntry, imported or not."""
    other = entry("b.example.com", "80/HTTP")
    program = compiled(
        entry("a.example.com", "80/HTTP"),
        other,
        sidecar("*/a.example.com"),
        leading_to("{destination: {host: b.example.com}}"),
    )
    assert program.origins["outbound|80||b.example.com"] == (other,)


@pytest.mark.parametrize(
    ("host", "found"),
    [
        ("a.example.com", ["exact", "wild", "wider"]),
        ("b.example.com", ["wild", "wider"]),
        ("*.example.com", ["exact", "wild", "wider"]),
        ("*.a.example.com", ["wild", "wider"]),
        ("a.test", []),
    ],
)
def test_index_by_host(host: str, found: list[str]) -> None:
    """Exact names and wildcards either way round, in the order of the VirtualServices."""
    index = HostIndex(
        merge_virtual_services(
            contract_of(
                marked("wild", "*.example.com", creation_timestamp=2),
                marked("exact", creation_timestamp=1),
                marked("wider", "*.com", creation_timestamp=3),
            )
        )
    )
    assert [it.declared.metadata.name for it in index.matching(host)] == found

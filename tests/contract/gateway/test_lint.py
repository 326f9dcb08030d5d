"""What is said of a gateway whose Service is in no file."""

from __future__ import annotations

import pytest

from pytest_egress.contract import loads
from tests.backends.egress_gateway import ENTRY, GATEWAY, HTTP_ROUTES, TLS_ROUTES, documents
from tests.contract.kubernetes.documents import SERVICE

RULE = "lint/gateway-service-inferred"


def told(*texts: str) -> list[str]:
    """The warnings of these documents that speak of gateways."""
    warnings = loads(documents(*texts), file="egress.yaml").warnings
    return [str(it) for it in warnings if it.rule.startswith("lint/gateway")]


def test_what_a_service_was_taken_for() -> None:
    """Once, at the first place that speaks of it, with the command that gives the real one."""
    (warning,) = told(ENTRY, GATEWAY, HTTP_ROUTES, TLS_ROUTES)
    assert warning == (
        "egress.yaml:32:34: warning: istio-egressgateway.istio-system.svc.cluster.local is in no"
        " file: it is taken for the Service of a gateway whose pods have"
        " {app: istio-egressgateway, istio: egressgateway}, with the ports 80 (http2), 443 (https)."
        " Add it to the contract to say so (kubectl get service istio-egressgateway --namespace"
        f" istio-system --output yaml) [{RULE}]"
    )


def test_a_service_that_is_there_is_no_guess() -> None:
    """And nothing is guessed where no route leads to a gateway."""
    assert told(ENTRY, GATEWAY, HTTP_ROUTES, SERVICE) == []
    assert told(ENTRY, GATEWAY) == []


@pytest.mark.parametrize(
    ("hosts", "fails"),
    [
        ('["*/*", "*/x.com"]', True),
        ('[x.com, "*/*", ./y.com]', True),
        ('["*/*", a/x.com]', False),
        ('["*/x.com", "*/*"]', False),
    ],
)
def test_hosts_on_which_istiod_fails(hosts: str, fails: bool) -> None:
    """Istiod 1.31 panics on a host of every namespace, or of its own, behind one of everything."""
    gateway = GATEWAY.replace("hosts: [api.weather.com]", f"hosts: {hosts}", 1)
    found = [it for it in loads(gateway).warnings if it.rule == "lint/istiod-fails"]
    assert bool(found) is fails

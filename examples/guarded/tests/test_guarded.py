"""Tests that notice every mutant of the contract: ``pytest --egress-mutate``."""

from __future__ import annotations

RATES, BILLING = "https://rates.example.com", "http://billing.example.org"


def test_what_is_declared_is_reached(egress):
    """Notices a host, a port, an import of the Sidecar or the last route that is gone."""
    assert egress.get(RATES).reachable
    assert egress.get(BILLING).reachable


def test_neighbours_are_not(egress):
    """Notices a wildcard beside a host."""
    assert egress.get("https://not-declared.example.com").blocked
    assert egress.get("http://not-declared.example.org").blocked


def test_nobody_else_is(egress):
    """Notices a mesh that is open."""
    assert egress.get("https://not-declared.invalid").blocked


def test_server_names_are_looked_at(egress):
    """Notices a port of TLS that has become one of TCP."""
    assert egress.tls("rates.example.com", sni="not-declared.example.com").blocked


def test_the_entry_says_who_answers(egress):
    """Notices a resolution that is gone: then whoever is dialled would answer."""
    for url in (RATES, BILLING):
        assert egress.get(url, address="198.51.100.77").upstream.address != "198.51.100.77"


def test_other_namespaces_see_nothing(egress):
    """Notices an entry that is exported to all."""
    stranger = egress.as_workload("elsewhere")
    assert stranger.get(RATES).blocked
    assert stranger.get(BILLING).blocked


def test_certificates_are_checked(egress, egress_upstreams):
    """Notices subjectAltNames that are gone."""
    egress_upstreams["billing.example.org"].certificate(names=["other.example.org"])
    assert egress.get(BILLING).unreachable


def test_the_proxy_answers_admins(egress):
    """Notices the first route that is gone."""
    assert egress.get(f"{BILLING}/admin/users").status == 403


def test_slow_answers_are_given_up(egress, egress_upstreams):
    """Notices a timeout that is gone."""
    egress_upstreams["billing.example.org"].silent()
    assert "UT" in egress.get(BILLING, timeout=2).flags

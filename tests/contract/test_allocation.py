"""Addresses as istiod's allocator gives them, in a cluster in which nothing was before."""

from __future__ import annotations

from pytest_egress.contract import loads
from pytest_egress.contract.allocation import allocate
from tests.observed import documents, entry

TLS = {443: "TLS"}


def given(*texts: str) -> dict[str, str]:
    """The address of each host that has one."""
    contract = allocate(loads(documents(*texts)))
    return {h: a for e in contract.service_entries for h, a in e.status_addresses}


def at(text: str, moment: str) -> str:
    """The entry, created at a moment."""
    return text.replace("  namespace:", f"  creationTimestamp: '{moment}'\n  namespace:")


def status(text: str, *pairs: tuple[str, str]) -> str:
    """The entry with addresses that an allocator has written."""
    written = "".join(f"  - {{host: '{host}', value: {value}}}\n" for host, value in pairs)
    return f"{text}status:\n  addresses:\n{written}"


def test_one_after_the_other() -> None:
    """Each host of each entry; a host that is declared twice has an address in both."""
    assert given(
        entry("a", ["a.example", "b.example", "a.example"], TLS),
        entry("b", "c.example", TLS, "STATIC", endpoints=[{"address": "192.0.2.1"}]),
        entry("c", "a.example", TLS, "DNS_ROUND_ROBIN", namespace="shop"),
    ) == {"a.example": "240.240.0.4", "b.example": "240.240.0.2", "c.example": "240.240.0.3"}


def test_the_oldest_first() -> None:
    """Those without a time of creation are yet to be created, in the order of the files."""
    assert given(
        entry("a", "a.example", TLS),
        at(entry("b", "b.example", TLS), "2024-01-02T00:00:00Z"),
        at(entry("c", "c.example", TLS), "2024-01-01T00:00:00Z"),
        entry("d", "d.example", TLS),
    ) == {
        "c.example": "240.240.0.1",
        "b.example": "240.240.0.2",
        "a.example": "240.240.0.3",
        "d.example": "240.240.0.4",
    }


def test_who_gets_none() -> None:
    """NONE, own addresses, the label that opts out, and wildcards unless Envoy looks them up."""
    opted_out = entry("d", "d.example", TLS).replace(
        "  namespace:",
        "  labels: {networking.istio.io/enable-autoallocate-ip: 'False'}\n  namespace:",
    )
    assert given(
        entry("a", "a.example", TLS, "NONE"),
        entry("b", "b.example", TLS, addresses=["10.0.0.1"]),
        entry("c", "*.c.example", TLS, endpoints=[{"address": "c.example"}]),
        opted_out,
        entry("e", "*.e.example", TLS, "DYNAMIC_DNS"),
        entry("f", "f.example", TLS, location="MESH_INTERNAL"),
    ) == {"*.e.example": "240.240.0.1", "f.example": "240.240.0.2"}


def test_what_is_there_stays_and_is_not_given_again() -> None:
    """Addresses of a status are sticky; those that an entry has chosen itself are left out."""
    assert given(
        entry("a", "a.example", TLS),
        entry("b", "b.example", TLS, "NONE", addresses=["240.240.0.2", "240.240.0.0/24"]),
        status(entry("c", ["c.example", "d.example"], TLS), ("c.example", "240.240.0.1")),
        status(entry("e", "e.example", TLS), ("e.example", "2001:2::1")),
    ) == {
        "a.example": "240.240.0.3",
        "c.example": "240.240.0.1",
        "d.example": "240.240.0.4",
        "e.example": "2001:2::1",
    }


def test_what_another_has_is_given_up() -> None:
    """To an entry that chose it, and to the older of two that were given it."""
    assert given(
        status(entry("a", "a.example", TLS), ("a.example", "240.240.0.1")),
        entry("b", "b.example", TLS, addresses=["240.240.0.1"]),
        status(entry("c", "c.example", TLS), ("c.example", "240.240.0.2")),
        status(entry("d", "d.example", TLS), ("d.example", "240.240.0.2")),
    ) == {"a.example": "240.240.0.3", "c.example": "240.240.0.2", "d.example": "240.240.0.4"}


def test_a_status_without_right_is_no_use() -> None:
    """An entry with addresses has none allocated, and a wildcard has none beside a name."""
    assert given(
        entry("a", "a.example", TLS),
        status(
            entry("b", ["b.example", "*.b.example"], TLS, "STATIC"),
            ("*.b.example", "240.240.0.1"),
            ("b.example", "240.240.0.5"),
        ),
    ) == {"a.example": "240.240.0.2", "b.example": "240.240.0.5"}
    stale = status(
        entry("b", "b.example", TLS, addresses=["10.0.0.1"]), ("b.example", "240.240.0.1")
    )
    contract = allocate(loads(documents(entry("a", "a.example", TLS), stale)))
    assert contract.service_entries[0].status_addresses == (("a.example", "240.240.0.1"),)


def test_nothing_to_give_is_no_change() -> None:
    """The contract itself comes back, also the second time."""
    contract = loads(entry("a", "a.example", TLS, "NONE"))
    assert allocate(contract) is contract
    allocated = allocate(loads(entry("a", "a.example", TLS)))
    assert allocate(allocated) is allocated


def test_positions_survive() -> None:
    """Only the status is new."""
    contract = loads(entry("a", "a.example", TLS), file="a.yaml")
    (before,), (after,) = contract.service_entries, allocate(contract).service_entries
    assert before.status_addresses == ()
    assert str(after.at("spec", "hosts", 0)) == str(before.at("spec", "hosts", 0)) == "a.yaml:8:5"


def test_an_exhausted_range() -> None:
    """65,535 hosts have one, the others go without."""
    hosts = [f"h{number}.example" for number in range(65_537)]
    parts = [hosts[start : start + 250] for start in range(0, len(hosts), 250)]
    contract = loads("---\n".join(entry(f"e{n}", part, TLS) for n, part in enumerate(parts)))
    found = [a for e in allocate(contract).service_entries for _, a in e.status_addresses]
    assert (found[0], found[65_534], found[65_535:]) == ("240.240.0.1", "240.240.255.255", ["", ""])

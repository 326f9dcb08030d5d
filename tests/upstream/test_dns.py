"""The name servers: two views of one answer, on the wire as RFC 1035 has it."""

from __future__ import annotations

import ipaddress
import socket
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_egress.upstream import Outside
from pytest_egress.upstream.dns import Responder
from pytest_egress.upstream.zone import Reply, View

from .clients import connect, parse, query, resolve

AAAA, HTTPS, ANY = 28, 65, 255


def test_every_name_resolves(outside: Outside) -> None:
    """Only the mesh can block: in the outside, undeclared names exist as well."""
    answer = resolve(outside.pod_dns, "evil.example")
    assert answer.rcode == 0
    assert answer.ttls == (300,)
    assert ipaddress.ip_address(answer.addresses[0]) in ipaddress.ip_network("198.18.0.0/15")


def test_names_keep_their_distinct_addresses(outside: Outside) -> None:
    """A name has one address however it is spelled, and no other name has it."""
    names = ["a.example", "b.example", "A.Example", "a.example."]
    a, b, upper, dot = (resolve(outside.pod_dns, name).addresses for name in names)
    assert a == upper == dot == ("198.18.0.1",)
    assert b == ("198.18.0.2",)


def test_views_agree(outside: Outside) -> None:
    """The proxy is sent to the place that stands for the address that the pod sees."""
    outside.host("a.example").addresses("203.0.113.10", "203.0.113.11")
    pod = resolve(outside.pod_dns, "a.example").addresses
    proxy = resolve(outside.proxy_dns, "a.example").addresses
    assert pod == ("203.0.113.10", "203.0.113.11")
    assert proxy == tuple(outside.locate(address, 443)[0] for address in pod)
    assert len(set(proxy)) == 2


def test_far_proxy_has_turns_of_its_own(outside: Outside) -> None:
    """It sees what the pod sees; what the pod has asked takes nothing from it."""
    outside.host("a.example").lookups(["203.0.113.10"], ["203.0.113.11"])

    def asked(view: View) -> tuple[str, ...]:
        answer = outside.answer(query("a.example"), view=view)
        assert answer is not None
        return parse(answer).addresses

    assert asked("pod") == ("203.0.113.10",)
    assert asked("far") == ("203.0.113.10",)
    assert asked("far") == ("203.0.113.11",)
    assert ipaddress.ip_address(asked("proxy")[0]).is_loopback
    before = outside.dns_generation
    outside.host("a.example").addresses("203.0.113.12")
    assert outside.dns_generation > before
    assert asked("far") == ("203.0.113.12",)


def test_question_comes_back_as_it_was_spelled(outside: Outside) -> None:
    """Resolvers that vary the case (draft-vixie-dnsext-dns0x20) compare it."""
    answer = resolve(outside.pod_dns, "aPi.eXample")
    assert answer.question == b"\3aPi\7eXample\0\0\1\0\1"
    assert resolve(outside.pod_dns, "ApI.ExamplE").question == b"\3ApI\7ExamplE\0\0\1\0\1"


@pytest.mark.parametrize("kind", [AAAA, HTTPS, 33, 16, 12])
def test_other_types_are_empty(outside: Outside, kind: int) -> None:
    """There are A records only; anything else is NOERROR with no data."""
    answer = resolve(outside.pod_dns, "a.example", kind)
    assert (answer.rcode, answer.addresses) == (0, ())


def test_any_gives_the_a_records(outside: Outside) -> None:
    """A query for ANY is answered with what there is."""
    assert resolve(outside.pod_dns, "a.example", ANY).addresses == ("198.18.0.1",)


def test_edns_is_answered_with_edns(outside: Outside) -> None:
    """RFC 6891: an OPT record in the query asks for one in the answer."""
    assert resolve(outside.pod_dns, "a.example", edns=1232).edns
    assert not resolve(outside.pod_dns, "a.example").edns


def test_long_answers_are_truncated_over_udp_and_whole_over_tcp(outside: Outside) -> None:
    """RFC 1035: 512 bytes over UDP, else TC and the client comes again over TCP."""
    addresses = [f"203.0.113.{n}" for n in range(1, 41)]
    outside.host("many.example").addresses(*addresses)
    short = resolve(outside.pod_dns, "many.example")
    assert short.truncated
    assert short.addresses == ()
    assert list(resolve(outside.pod_dns, "many.example", edns=1232).addresses) == addresses
    question = query("many.example")
    with connect(outside.pod_dns) as sock:
        framed = struct.pack("!H", len(question)) + question
        sock.sendall(framed[:5])
        sock.sendall(framed[5:] + framed)  # in pieces, and two in one stream
        for _ in range(2):
            length = int.from_bytes(sock.recv(2, socket.MSG_WAITALL), "big")
            answer = parse(sock.recv(length, socket.MSG_WAITALL))
            assert list(answer.addresses) == addresses


@pytest.mark.parametrize("kind", [1, AAAA])
def test_nxdomain_and_servfail(outside: Outside, kind: int) -> None:
    """The response code says what is wrong, for every type alike."""
    outside.host("gone.example").nxdomain()
    outside.host("broken.example").servfail()
    for server in (outside.pod_dns, outside.proxy_dns):
        assert resolve(server, "gone.example", kind).rcode == 3
        assert resolve(server, "broken.example", kind).rcode == 2


def test_dns_timeout_gives_no_answer(outside: Outside) -> None:
    """A lookup that times out: nothing is sent, while other names are answered."""
    outside.host("slow.example").dns_timeout()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(1.0)
        sock.sendto(query("slow.example", number=1), outside.pod_dns)
        sock.sendto(query("a.example", number=2), outside.pod_dns)
        assert sock.recv(512)[:2] == b"\0\2"
        sock.settimeout(0.1)
        with pytest.raises(TimeoutError):
            sock.recv(512)


def test_wildcards_cover_every_depth(outside: Outside) -> None:
    """As a wildcard host of a ServiceEntry does; the name itself is not covered."""
    outside.host("*.example.com").nxdomain()
    outside.host("here.example.com").addresses("203.0.113.10")
    rcodes = {
        name: resolve(outside.pod_dns, name).rcode
        for name in ("a.example.com", "b.a.example.com", "example.com", "here.example.com")
    }
    assert rcodes == {
        "a.example.com": 3,
        "b.a.example.com": 3,
        "example.com": 0,
        "here.example.com": 0,
    }


def test_wildcard_has_a_place_of_its_own(outside: Outside) -> None:
    """Names below a scripted wildcard keep their addresses, but share its place."""
    outside.host("*.example.com").refuse()
    a, b = (resolve(outside.proxy_dns, f"{name}.example.com").addresses for name in "ab")
    assert a == b
    with pytest.raises(ConnectionRefusedError):
        connect((a[0], outside.port_for(80)))
    pod = resolve(outside.pod_dns, "a.example.com").addresses[0]
    assert outside.locate(pod, 80)[0] == a[0]


def test_lookups_change_from_one_to_the_next(outside: Outside) -> None:
    """Each view takes its own turns; the last answer stays; caches are told to ask again."""
    outside.host("a.example").lookups(["203.0.113.10"], [], ["203.0.113.11"])
    for server in (outside.pod_dns, outside.proxy_dns):
        assert resolve(server, "a.example", AAAA).addresses == ()  # takes no turn
        answers = [resolve(server, "a.example") for _ in range(4)]
        assert [len(answer.addresses) for answer in answers] == [1, 0, 1, 1]
        assert answers[0].addresses != answers[2].addresses == answers[3].addresses
        assert answers[0].ttls == (1,)


def test_reset_brings_names_back(outside: Outside) -> None:
    """After a test, names are what they were before it."""
    before = resolve(outside.pod_dns, "a.example")
    outside.host("a.example").nxdomain()
    assert resolve(outside.pod_dns, "a.example").rcode == 3
    outside.reset()
    assert resolve(outside.pod_dns, "a.example") == before


def test_generation_counts_what_a_proxy_has_cached(outside: Outside) -> None:
    """A fresh proxy is needed when an answer that was given has become untrue, and only then."""
    outside.declare(["a.example"], [443])
    resolve(outside.pod_dns, "b.example")
    outside.host("b.example").nxdomain()
    assert outside.dns_generation == 0, "no proxy has asked for b.example"
    resolve(outside.proxy_dns, "a.example")
    outside.host("a.example").refuse().hang().reset().delay(1).respond(500).certificate("expired")
    outside.host("a.example").silent().banner(b"x").echo().clear()
    assert outside.dns_generation == 0, "sockets and answers are not cached"
    outside.host("a.example").addresses("203.0.113.10")
    assert outside.dns_generation == 1
    outside.host("a.example").addresses("203.0.113.11")
    assert outside.dns_generation == 1, "no proxy has asked since"
    resolve(outside.proxy_dns, "a.example")
    outside.host("*.example").servfail()
    assert outside.dns_generation == 1, "the wider script does not hold for this name"
    outside.reset()
    assert outside.dns_generation == 2


@pytest.mark.parametrize("fault", ["nxdomain", "servfail", "dns_timeout"])
def test_generation_counts_failing_lookups(outside: Outside, fault: str) -> None:
    """A name that stops resolving is not noticed by a proxy that has resolved it."""
    outside.declare(["a.example"], [])
    resolve(outside.proxy_dns, "a.example")
    getattr(outside.host("a.example"), fault)()
    assert outside.dns_generation == 1


def test_generation_counts_a_move_to_an_own_place(outside: Outside) -> None:
    """A host beyond the declared ones moves when it is scripted; so does a located address."""
    resolve(outside.proxy_dns, "a.example")
    outside.host("a.example").delay(0)
    assert outside.dns_generation == 1
    resolve(outside.proxy_dns, "a.example")
    outside.reset()
    outside.host("a.example").delay(0)
    assert outside.dns_generation == 1, "its place stays its own"
    outside.locate("203.0.113.10", 443)
    outside.host("203.0.113.10").refuse()
    assert outside.dns_generation == 2


def test_query_that_is_none_is_ignored(outside: Outside) -> None:
    """Malformed packets get no answer and do no harm."""
    good = query("a.example", number=9)
    bad = [
        b"",
        b"\0" * 11,
        good[:-1],
        good[:2] + b"\x81" + good[3:],  # an answer
        good[:4] + b"\0\2" + good[6:],  # two questions
        good[:12] + b"\xc0\x0c" + good[-4:],  # a pointer in the question
        good[:12] + b"\x3f" + good[13:],  # a label beyond the end
    ]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(1.0)
        for packet in [*bad, good]:
            sock.sendto(packet, outside.pod_dns)
        assert sock.recv(512)[:2] == b"\0\x09"


def test_what_is_not_offered_is_refused(outside: Outside) -> None:
    """Another class is REFUSED, another opcode NOTIMP."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(1.0)
        sock.sendto(query("version.bind", 16, klass=3), outside.pod_dns)
        assert parse(sock.recv(512)).rcode == 5
        update = bytearray(query("a.example"))
        update[2] = 5 << 3
        sock.sendto(update, outside.pod_dns)
        assert parse(sock.recv(512)).rcode == 4


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_survived(data: bytes) -> None:
    """No packet makes the responder raise; what it does answer is an answer to that packet."""
    import threading

    responder = Responder(lambda _name, _wanted: Reply(0, ("192.0.2.1",)), threading.RLock())
    header = b"\0\7\1\0\0\1\0\0\0\0\0\0"
    for packet in (data, header + data):
        answer = responder.respond(packet)
        assert answer is None or (answer[:2] == packet[:2] and answer[2] & 0x80)


def test_thousands_of_names_are_answered_at_once(outside: Outside) -> None:
    """A proxy that starts with 5,000 DNS clusters asks for all of them in one go."""
    queries = [query(f"host-{n}.example", number=n) for n in range(5000)]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5.0)
        for at in range(0, len(queries), 100):  # c-ares: udp_max_queries
            for packet in queries[at : at + 100]:
                sock.sendto(packet, outside.proxy_dns)
            answered = {int.from_bytes(sock.recv(512)[:2], "big") for _ in range(100)}
            assert answered == set(range(at, at + 100))

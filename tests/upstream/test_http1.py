"""HTTP/1.1 as real clients speak it."""

from __future__ import annotations

import http.client
import json

import pytest
import requests

from pytest_egress.upstream import Outside
from pytest_egress.upstream.journal import CONTROL_NAME

from .clients import connect, exchange, read, resolve

HEAD = b"Host: api.example.com\r\n"


def url(outside: Outside, path: str = "/") -> str:
    """The URL of a place on loopback."""
    return "http://{}:{}{}".format(*outside.locate("203.0.113.10", 80, dedicated=True), path)


def test_default_answer_describes_the_request(outside: Outside) -> None:
    """A test sees where its request arrived, and the token that proves it."""
    answer = requests.post(
        url(outside, "/v3?x=1"), data=b"hi", headers={"Host": "api.example.com:80"}, timeout=5
    )
    assert answer.status_code == 200
    assert answer.headers["x-egress-upstream"] == outside.token
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "upstream": "api.example.com",
        "address": "203.0.113.10",
        "port": 80,
        "method": "POST",
        "path": "/v3?x=1",
        "http_version": "HTTP/1.1",
    }


def test_default_answer_on_a_shared_place_knows_the_names_address(outside: Outside) -> None:
    """A name that was resolved has its address, also where the place has none."""
    address = resolve(outside.pod_dns, "api.example.com").addresses[0]
    host, port = outside.locate(address, 80)
    assert outside.real(host, port) is None
    answer = requests.get(
        f"http://{host}:{port}/", headers={"Host": "api.example.com"}, timeout=5
    ).json()
    assert (answer["upstream"], answer["address"]) == ("api.example.com", address)


def test_call_of_the_control_is_answered_and_not_recorded(outside: Outside) -> None:
    """A backend makes it by itself, whenever it has to see that its calls come through."""
    answer = requests.get(url(outside), headers={"Host": CONTROL_NAME}, timeout=5)
    assert answer.headers["x-egress-upstream"] == outside.token
    assert outside.requests == []


def test_request_is_recorded(outside: Outside) -> None:
    """What arrived can be asserted upon, from the host that it named."""
    headers = {"Host": "api.example.com", "X-Tenant": "7"}
    requests.put(url(outside, "/a"), data=b"body", headers=headers, timeout=5)
    (request,) = outside.host("api.example.com").requests
    assert (request.method, request.path, request.body) == ("PUT", "/a", b"body")
    assert request.headers["x-tenant"] == "7"
    assert (request.host, request.sni, request.http_version) == ("api.example.com", "", "HTTP/1.1")
    assert (request.address, request.port) == ("203.0.113.10", 80)
    assert outside.host("*.example.com").requests == [request]
    assert outside.host("203.0.113.10").requests == [request]
    assert outside.host("api.example.com", 81).requests == []
    assert outside.host("other.example").requests == []


def test_connection_is_kept(outside: Outside) -> None:
    """Many requests go over one connection."""
    connection = http.client.HTTPConnection(*outside.locate("203.0.113.10", 80), timeout=5)
    for number in range(3):
        connection.request("GET", f"/{number}", headers={"Host": "a.example"})
        assert json.loads(connection.getresponse().read())["path"] == f"/{number}"
    connection.close()
    assert len(outside.connections) == 1


def test_pipelined_requests_are_answered_in_order(outside: Outside) -> None:
    """Two requests in one segment give two answers."""
    data = b"GET /1 HTTP/1.1\r\n" + HEAD + b"\r\nGET /2 HTTP/1.1\r\n" + HEAD + b"\r\n"
    answer = exchange(outside.locate("203.0.113.10", 80), data, b'"/2"')
    assert answer.index(b'"/1"') < answer.index(b'"/2"')


def test_chunked_body_is_read(outside: Outside) -> None:
    """A generator is sent in chunks by requests."""
    requests.post(url(outside), data=iter([b"one", b"two"]), timeout=5)
    assert outside.requests[0].body == b"onetwo"


def test_chunked_body_with_extension_and_trailer(outside: Outside) -> None:
    """RFC 9112, 7.1: extensions and trailers are passed over."""
    data = (
        b"POST / HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
        b"3;a=b\r\nabc\r\n0\r\nx: y\r\n\r\n"
    )
    assert b"200 OK" in exchange(outside.locate("203.0.113.10", 80), data, b"}")
    assert outside.requests[0].body == b"abc"


def test_expect_100_continue(outside: Outside) -> None:
    """A client that asks first is told to go on."""
    with connect(outside.locate("203.0.113.10", 80)) as sock:
        sock.sendall(
            b"PUT / HTTP/1.1\r\n" + HEAD + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n"
        )
        assert read(sock, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"ok")
        assert b"200 OK" in read(sock, b"}")
    assert outside.requests[0].body == b"ok"


def test_head_has_no_body(outside: Outside) -> None:
    """The length is that of the body which GET would have."""
    answer = exchange(
        outside.locate("203.0.113.10", 80),
        b"HEAD / HTTP/1.1\r\n" + HEAD + b"Connection: close\r\n\r\n",
        b"never",
    )
    head, _, body = answer.partition(b"\r\n\r\n")
    assert body == b""
    assert b"content-length: 0" not in head


def test_http_1_0_closes_unless_asked(outside: Outside) -> None:
    """HTTP/1.0 ends with the connection; keep-alive is by consent."""
    place = outside.locate("203.0.113.10", 80)
    answer = exchange(place, b"GET / HTTP/1.0\r\n\r\n", b"never")
    assert b"connection: close" in answer
    kept = exchange(place, b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", b"}")
    assert b"connection: keep-alive" in kept
    assert outside.requests[0].http_version == "HTTP/1.0"


def test_connect_opens_a_tunnel(outside: Outside) -> None:
    """An external proxy is part of the outside: what is tunnelled is answered as well."""
    with connect(outside.locate("203.0.113.10", 3128)) as sock:
        sock.sendall(b"CONNECT api.example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200 Connection established" in read(sock, b"\r\n\r\n")
        sock.sendall(b"EGRESS-PROBE " + b"a" * 32 + b"\r\n")
        assert read(sock, b"\r\n") == f"EGRESS-UPSTREAM {outside.sign('a' * 32)}\r\n".encode()


def test_absolute_form_names_the_host(outside: Outside) -> None:
    """RFC 9112, 3.2.2: the request target goes before the Host header."""
    data = b"GET http://b.example/x HTTP/1.1\r\nHost: a.example\r\n\r\n"
    exchange(outside.locate("203.0.113.10", 80), data, b"}")
    assert outside.requests[0].host == "b.example"


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 1, 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_malformed_requests_are_answered_400(outside: Outside, data: bytes) -> None:
    """A request that cannot be understood is said to be, with the token, and recorded."""
    answer = exchange(outside.locate("203.0.113.10", 80), data, b"never")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert outside.token.encode() in answer
    assert "answered 400" in outside.connections[0].problem


def test_large_head_is_answered_431(outside: Outside) -> None:
    """A head that never ends does not fill the memory."""
    data = b"GET / HTTP/1.1\r\nX: " + b"x" * 140_000
    answer = exchange(outside.locate("203.0.113.10", 80), data, b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 431 ")


def test_respond(outside: Outside) -> None:
    """A scripted answer carries the token like any other."""
    outside.host("api.example.com").respond(418, {"X-Mood": "tea"}, "short and stout")
    answer = requests.get(url(outside), headers={"Host": "api.example.com"}, timeout=5)
    assert (answer.status_code, answer.text) == (418, "short and stout")
    assert answer.headers["x-mood"] == "tea"
    assert answer.headers["x-egress-upstream"] == outside.token


@pytest.mark.parametrize("status", [204, 304])
def test_answers_without_a_body(outside: Outside, status: int) -> None:
    """204 and 304 have none, whatever was scripted; the connection stays in step."""
    outside.host("203.0.113.10").respond(status, body=b"ignored")
    with requests.Session() as session:
        answers = [session.get(url(outside), timeout=5) for _ in range(2)]
    assert [(answer.status_code, answer.content) for answer in answers] == [(status, b"")] * 2
    assert len(outside.connections) == 1


def test_fail_then_recover(outside: Outside) -> None:
    """The next requests fail, then what else was scripted holds."""
    outside.host("203.0.113.10").respond(201).fail(503, times=2)
    assert [requests.get(url(outside), timeout=5).status_code for _ in range(3)] == [503, 503, 201]


def test_delay(outside: Outside) -> None:
    """The answer waits, and no shorter than was told."""
    outside.host("203.0.113.10").delay(0.2)
    assert requests.get(url(outside), timeout=5).elapsed.total_seconds() >= 0.2
    with pytest.raises(requests.Timeout):
        requests.get(url(outside), timeout=0.05)


def test_silent_and_reset_by_host(outside: Outside) -> None:
    """On a shared place, the Host header decides."""
    place = outside.locate("203.0.113.99", 80)
    outside.host("quiet.example").silent()
    outside.host("rude.example").reset()
    with connect(place, timeout=0.2) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: quiet.example\r\n\r\n")
        with pytest.raises(TimeoutError):
            sock.recv(1)
    with pytest.raises(ConnectionResetError):
        exchange(place, b"GET / HTTP/1.1\r\nHost: rude.example\r\n\r\n", b"never")
    assert len(outside.requests) == 2


def test_who_stands_at_an_address_answers(outside: Outside) -> None:
    """A mirrored request still names the host it was first sent to: that host does not see it."""
    outside.host("a.example").addresses("203.0.113.10").respond(201)
    outside.host("b.example").respond(202)
    got = [
        requests.get(url(outside), headers={"Host": host}, timeout=5).status_code
        for host in ("a.example", "b.example", "c.example")
    ]
    assert got == [201, 201, 201]
    assert outside.host("b.example").requests == []
    assert [request.host for request in outside.host("a.example").requests] == [
        "a.example",
        "b.example",
        "c.example",
    ]


def test_host_header_tells_hosts_of_one_address_apart(outside: Outside) -> None:
    """Where several stand at an address, or it is not known who does, the name asked decides."""
    outside.host("a.example").addresses("203.0.113.10").respond(201)
    outside.host("b.example").addresses("203.0.113.10").respond(202)
    got = [
        requests.get(url(outside), headers={"Host": host}, timeout=5).status_code
        for host in ("a.example", "b.example")
    ]
    assert got == [201, 202]
    assert outside.host("b.example").count == 1
    shared = "http://{}:{}/".format(*outside.locate("203.0.113.99", 80))
    answer = requests.get(shared, headers={"Host": "b.example"}, timeout=5)
    assert answer.status_code == 202


def test_many_idle_connections_are_asked_to_close(outside: Outside) -> None:
    """Pools of thousands of clusters do not use up the process's files."""
    place = outside.locate("203.0.113.10", 80)
    socks = [connect(place) for _ in range(200)]
    try:
        socks[-1].sendall(b"GET / HTTP/1.1\r\n" + HEAD + b"\r\n")
        assert b"connection: close" in read(socks[-1], b"}")
    finally:
        for sock in socks:
            sock.close()


def test_record_tells_whether_every_request_was_answered(outside: Outside) -> None:
    """A connection that is reset in place of its last answer has not answered."""
    outside.host("203.0.113.10").reset(times=1)
    for ending in (requests.ConnectionError, None):
        if ending is None:
            assert requests.get(url(outside), timeout=5).ok
        else:
            with pytest.raises(ending):
                requests.get(url(outside), timeout=5)
    assert [connection.answered for connection in outside.connections] == [False, True]
    assert [outside.accepted(it.client) is not None for it in outside.connections] == [True, True]

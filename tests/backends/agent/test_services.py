"""What the agent serves in the pod: ports and names whose other end is in the test process."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_egress.backends.agent import Agent
from pytest_egress.backends.agent.inside.tunnel import Tunnels
from pytest_egress.backends.agent.inside.wire import pack
from pytest_egress.probe import DnsResolver, Options, Target
from pytest_egress.upstream import Outside


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Outside]:
    """The simulated outside."""
    with Outside(tmp_path / "outside") as outside:
        yield outside
    assert not outside.errors


def _serve(agent: Agent, outside: Outside, port: int = 443) -> int:
    """Let the outside answer on a port of the pod, as 203.0.113.10 and ``port``."""

    def accepted(peer: str, _to: tuple[str, int]) -> socket.socket:
        client, _, number = peer.rpartition(":")
        return outside.take((client, int(number)), "203.0.113.10", port)

    return agent.connection.listen("127.0.0.1", 0, "outside", accepted)


def test_outside_answers_in_the_pod(agent: Agent, outside: Outside) -> None:
    """HTTP, with the outside's token; the connection is known by its client in the pod."""
    port = _serve(agent, outside)
    probed = agent.probe(Target.parse(f"http://127.0.0.1:{port}/path"), Options())
    assert probed.attempt.response is not None
    assert probed.attempt.response.headers.get("x-egress-upstream") == outside.token
    proof = outside.accepted(probed.source, "203.0.113.10:443")
    assert proof is not None
    assert (proof.address, proof.port) == ("203.0.113.10", 443)
    assert outside.requests[0].path == "/path"


def test_several_ports_are_one_use(agent: Agent, outside: Outside) -> None:
    """They are listened on by one request, and tell of their connections under one name."""
    first = _serve(agent, outside)
    request = {"op": "listen", "address": "127.0.0.1", "ports": [0, 0], "name": "outside"}
    for port in (first, *agent.connection.ask(request, 20.0)["ports"]):
        probed = agent.probe(Target.parse(f"http://127.0.0.1:{port}/{port}"), Options())
        assert probed.attempt.response is not None
    assert len({it.path for it in outside.requests}) == 3


def test_large_bodies_pass_both_ways(agent: Agent, outside: Outside) -> None:
    """Whatever does not fit into a socket's buffer waits its turn."""
    body = bytes(range(256)) * 8192
    outside.host("203.0.113.10").respond(200, body=body)
    port = _serve(agent, outside)
    options = Options(method="POST", body=body[: 1 << 20], max_body=len(body) + 1, timeout=60)
    probed = agent.probe(Target.parse(f"http://127.0.0.1:{port}"), options)
    assert probed.attempt.response is not None
    assert probed.attempt.response.body == body
    assert outside.requests[0].body == body[: 1 << 20]


def test_reset_arrives_as_a_reset(agent: Agent, outside: Outside) -> None:
    """And not as an end of the bytes."""
    outside.host("203.0.113.10").reset()
    port = _serve(agent, outside)
    probed = agent.probe(Target.parse(f"http://127.0.0.1:{port}"), Options())
    assert probed.attempt.failure is not None
    assert probed.attempt.failure.kind == "reset"


def test_tls_of_the_outside(agent: Agent, outside: Outside) -> None:
    """Its CA is sent to the pod."""
    outside.host("api.example.com").addresses("203.0.113.10")
    port = _serve(agent, outside)
    target = Target.parse(f"https://api.example.com:{port}")
    options = Options(address="127.0.0.1")
    probed = agent.probe(target, options, ca_file=outside.ca_file)
    assert probed.attempt.completed, probed.attempt.failure
    assert probed.attempt.tls is not None
    assert probed.attempt.tls.verified


def test_names_over_udp_and_tcp(agent: Agent, outside: Outside) -> None:
    """The pod's name server gives what the outside says."""
    outside.host("api.example.com").addresses("203.0.113.10")
    many = [f"203.0.113.{n}" for n in range(1, 90)]
    outside.host("many.example.com").addresses(*many)

    def answer(query: bytes, udp: bool) -> bytes | None:
        return outside.answer(query, udp=udp)

    port = agent.connection.serve_names("127.0.0.1", 0, answer)
    found = agent.lookup("api.example.com", dns=("127.0.0.1", port))
    assert found.addresses == ("203.0.113.10",)
    found = agent.lookup("many.example.com", dns=("127.0.0.1", port))
    assert set(found.addresses) == set(many)


def test_names_of_the_cluster_are_forwarded(agent: Agent, outside: Outside) -> None:
    """They are asked of the cluster's own name server."""
    outside.host("kubernetes.default.svc.cluster.local").addresses("10.96.0.1")
    asked: list[bytes] = []

    def answer(query: bytes, udp: bool) -> bytes | None:
        asked.append(query)
        return outside.answer(query, udp=udp)

    port = agent.connection.serve_names(
        "127.0.0.1", 0, answer, domains=["cluster.local"], upstream=outside.pod_dns
    )
    resolver = DnsResolver(("127.0.0.1", port))
    name = "kubernetes.default.svc.cluster.local"
    assert resolver.lookup(name, socket.AF_INET, 5).addresses == ("10.96.0.1",)
    assert not asked
    assert resolver.lookup("not-cluster.localhost", socket.AF_INET, 5).addresses
    assert asked


def test_dial_from_the_pod(agent: Agent) -> None:
    """A connection of this process enters the pod; an end of one way leaves the other open."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        sock, source = agent.dial("127.0.0.1", port, 5)
        served, peer = listener.accept()
        with sock, served:
            assert source == f"127.0.0.1:{peer[1]}"
            sock.sendall(b"question")
            sock.shutdown(socket.SHUT_WR)
            received = b""
            while more := served.recv(100):
                received += more
            assert received == b"question"
            served.sendall(b"answer")
            served.close()
            assert sock.recv(100) == b"answer"
            assert sock.recv(100) == b""


def test_dial_of_a_unix_socket_in_the_pod(agent: Agent, tmp_path: Path) -> None:
    """Where a proxy listens whose traffic the kernel does not redirect."""
    path = str(tmp_path / "proxy.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        sock, _ = agent.connection.dial("", 0, 5, path=path)
        served, _ = listener.accept()
        with sock, served:
            sock.sendall(b"PROXY")
            assert served.recv(100) == b"PROXY"
    with pytest.raises(OSError, match="refused"):
        agent.connection.dial("", 0, 5, path=path)


def test_commands_tell_what_they_write_as_it_comes(agent: Agent) -> None:
    """And end when they are cancelled."""
    heard: list[tuple[int, bytes]] = []
    spoken = threading.Event()

    def output(descriptor: int, data: bytes) -> None:
        heard.append((descriptor, data))
        spoken.set()

    command = ["sh", "-c", "echo ready >&2; exec sleep 60"]
    number, answer = agent.connection.begin({"argv": command, "timeout": None}, output)
    assert spoken.wait(30)
    assert heard == [(2, b"ready\n")]
    assert not answer.done()
    agent.connection.send({"op": "cancel", "of": number})
    assert answer.result(30)["result"]["returncode"] == -9


def test_command_that_is_cancelled_before_it_has_started(agent: Agent) -> None:
    """It is not forgotten: the request may still wait for its turn."""
    for _ in range(20):
        number, answer = agent.connection.begin(
            {"argv": ["sleep", "60"], "timeout": None}, lambda *_: None
        )
        agent.connection.send({"op": "cancel", "of": number})
        assert answer.result(30)["result"]["returncode"] == -9


def test_refused_dial_is_an_os_error(agent: Agent) -> None:
    """As it would be from this machine."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        with pytest.raises(OSError, match="refused"):
            agent.dial("127.0.0.1", port, 5)


def test_tunnels_end_with_the_stream(agent: Agent) -> None:
    """Whoever waits for bytes is told."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sock, _ = agent.dial("127.0.0.1", listener.getsockname()[1], 5)
        served, _ = listener.accept()
        with sock, served:
            waiting = threading.Thread(target=agent.close)
            waiting.start()
            assert sock.recv(1) == b""
            waiting.join()


def test_socket_that_comes_too_late_is_closed() -> None:
    """A stream that ends while a connection is accepted leaves nothing open."""
    tunnels = Tunnels(lambda _: None)
    tunnels.close()
    ours, theirs = socket.socketpair()
    with ours:
        tunnels.add(1, theirs)
        assert theirs.fileno() == -1
        assert ours.recv(1) == b""


def test_last_words_of_a_peer_that_takes_nothing_more() -> None:
    """They arrive, and then its end: writing to it in vain loses nothing."""
    heard: list[dict[str, Any]] = []
    ended = threading.Event()

    def send(message: dict[str, Any]) -> None:
        heard.append(message)
        if "d" not in message:
            ended.set()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        carried = socket.create_connection(listener.getsockname())
        peer, _ = listener.accept()
    peer.sendall(b"response")
    peer.close()
    carried.sendall(b"one more")  # which its peer answers by a reset
    tunnels = Tunnels(send)
    tunnels.add(1, carried)
    tunnels.take({"t": 1, "d": pack(b"request")})
    assert ended.wait(30)
    tunnels.close()
    assert heard == [{"t": 1, "d": pack(b"response")}, {"t": 1, "e": 1}]


def test_services_are_started_with_each_stream(
    local_pod_agent: tuple[Agent, list[int]],
) -> None:
    """A stream that was lost takes its ports with it; the next one has them again."""
    agent, ports = local_pod_agent
    agent.start()
    agent.connection.close()
    agent.start()
    assert agent.connects == len(ports) == 2


@pytest.fixture
def local_pod_agent() -> Iterator[tuple[Agent, list[int]]]:
    """An agent that listens on a port from its start."""
    import sys

    from pytest_egress.backends.agent import ProcessStream

    ports: list[int] = []
    agent = Agent(
        ProcessStream,
        python=sys.executable,
        on_start=lambda it: ports.append(it.listen("127.0.0.1", 0, "x", lambda *_: None)),
    )
    yield agent, ports
    agent.close()

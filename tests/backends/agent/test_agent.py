"""The agent over a local program: what it does, and what is said when its stream is lost."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pytest_egress.backends.agent import Agent, AgentLostError, ProcessStream
from pytest_egress.backends.agent.bundle import command
from pytest_egress.backends.agent.inside.ports import kernels_ports
from pytest_egress.errors import ProbeError
from pytest_egress.probe import Options, Target
from pytest_egress.verdict import Observation, Verdict, judge
from tests.backends.agent.conftest import LocalPod


class Handler(BaseHTTPRequestHandler):
    """Tells the client its own address."""

    def do_GET(self) -> None:
        """Answer."""
        body = f"{self.client_address[0]}:{self.client_address[1]}".encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The URL of an HTTP server."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class Silent:
    """A port that takes connections and says nothing."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def connected(self) -> socket.socket:
        """Return once somebody has connected."""
        return self.listener.accept()[0]


@pytest.fixture
def silent() -> Iterator[Silent]:
    """A port that takes connections and says nothing."""
    silent = Silent()
    yield silent
    silent.listener.close()


def test_probe_tells_its_source_address(agent: Agent, server: str) -> None:
    """What ties it to the proxy's record."""
    probed = agent.probe(Target.parse(server), Options())
    assert probed.attempt.completed
    assert probed.attempt.response is not None
    assert probed.attempt.response.body.decode() == probed.source


def test_many_probes_share_one_stream(agent: Agent, server: str) -> None:
    """Each gets the answer to its own question."""
    target = Target.parse(server)
    with ThreadPoolExecutor(16) as executor:
        done = list(executor.map(lambda _: agent.probe(target, Options()), range(64)))
    assert all(
        it.attempt.response and it.attempt.response.body.decode() == it.source for it in done
    )
    assert len({it.source for it in done}) == 64
    assert agent.connects == 1


def test_a_slow_probe_holds_no_other_up(agent: Agent, server: str, silent: Silent) -> None:
    """They are under way at the same time."""
    with ThreadPoolExecutor(1) as executor:
        slow = executor.submit(agent.probe, Target.parse(silent.url), Options(timeout=30))
        with silent.connected():
            assert agent.probe(Target.parse(server), Options()).attempt.completed
            assert not slow.done()
            agent.close()
        assert slow.result().attempt.failure is not None


def test_lookup(agent: Agent) -> None:
    """The pod's own resolver is asked."""
    assert agent.lookup("localhost", "A").addresses == ("127.0.0.1",)


def test_file_of_options_is_sent(agent: Agent, tmp_path: Path, server: str) -> None:
    """A probe's files are those of the machine that the test runs on."""
    rubbish = tmp_path / "ca.pem"
    rubbish.write_text("no certificate")
    target = Target.parse(server.replace("http://", "https://"))
    with pytest.raises(ProbeError, match=r"ca\.pem|certificate|/proc/"):
        agent.probe(target, Options(ca_file=str(rubbish)))
    with pytest.raises(ProbeError, match=r"missing\.pem: No such file"):
        agent.probe(target, Options(ca_file=str(tmp_path / "missing.pem")))


def test_sent_file_can_be_read_by_commands(agent: Agent) -> None:
    """Its path is good for every process in the pod."""
    path = agent.file(b"sent\n")
    assert agent.file(b"sent\n") == path
    assert agent.exec(["cat", path]).stdout == b"sent\n"


def test_command(agent: Agent) -> None:
    """Output, input, environment and exit status."""
    script = "read x; echo out $x $WHAT; echo err >&2; exit 3"
    ran = agent.exec(["sh", "-c", script], input=b"in\n", env={"WHAT": "it"})
    assert (ran.returncode, ran.stdout, ran.stderr) == (3, b"out in it\n", b"err\n")
    assert not ran.timed_out


def test_command_that_takes_too_long_is_killed_with_its_children(agent: Agent) -> None:
    """What it printed until then is kept."""
    ran = agent.exec(["sh", "-c", "echo begun; sleep 300 & sleep 300"], timeout=0.3)
    assert ran.timed_out
    assert ran.returncode == -signal.SIGKILL
    assert ran.stdout == b"begun\n"


def test_missing_program_is_a_probe_error(agent: Agent) -> None:
    """The message is the system's."""
    with pytest.raises(ProbeError, match="no-such-program"):
        agent.exec(["no-such-program"])


def test_probe_in_flight_is_inconclusive_when_the_stream_is_cut(
    agent: Agent, local_pod: LocalPod, silent: Silent, server: str
) -> None:
    """And the next one has another stream."""
    agent.start()
    with ThreadPoolExecutor(1) as executor:
        pending = executor.submit(agent.probe, Target.parse(silent.url), Options(timeout=60))
        with silent.connected():
            os.kill(local_pod.streams[0].pid, signal.SIGKILL)
        probed = pending.result(timeout=30)
    assert probed.attempt.failure is not None
    assert probed.attempt.failure.kind == "lost"
    judgement = judge(Observation(probed.attempt))
    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert "agent of the test pod was lost" in judgement.reason
    assert agent.probe(Target.parse(server), Options()).attempt.completed
    assert agent.connects == 2


def test_command_in_flight_fails_when_the_stream_is_cut(
    agent: Agent, local_pod: LocalPod, tmp_path: Path
) -> None:
    """It is not run a second time."""
    begun = tmp_path / "begun"
    with ThreadPoolExecutor(1) as executor:
        pending = executor.submit(agent.exec, ["sh", "-c", f"echo > {begun}; exec sleep 10"])
        while not begun.exists():
            time.sleep(0.01)
        os.kill(local_pod.streams[0].pid, signal.SIGKILL)
        with pytest.raises(AgentLostError):
            pending.result(timeout=30)


def test_commands_end_with_the_agent(agent: Agent, tmp_path: Path) -> None:
    """Closing the stream kills what it runs."""
    pid_file = tmp_path / "pid"
    with ThreadPoolExecutor(1) as executor:
        script = f"echo $$ > {pid_file}.new; mv {pid_file}.new {pid_file}; exec sleep 300"
        pending = executor.submit(agent.exec, ["sh", "-c", script], timeout=None)
        while not pid_file.exists():
            time.sleep(0.01)
        agent.close()
        with pytest.raises(AgentLostError):
            pending.result(timeout=30)
    pid = int(pid_file.read_text())
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and _alive(pid):  # whoever inherits it must reap it first
        time.sleep(0.01)
    assert not _alive(pid)


def _alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout
    return bool(state) and not state.startswith("Z")


def test_closed_agent_is_not_started_again(agent: Agent) -> None:
    """Closing is for good."""
    agent.close()
    with pytest.raises(AgentLostError, match="has been closed"):
        agent.lookup("localhost")


def test_missing_interpreter() -> None:
    """What the program said is told, and what to do."""
    agent = Agent(lambda _: ProcessStream(["sh", "-c", "echo no python here >&2; exit 127"]))
    with pytest.raises(AgentLostError, match="no python here") as caught:
        agent.start()
    assert "python3" in caught.value.next_step
    agent.close()


def test_program_that_cannot_be_started() -> None:
    """It is the backend's error, not a traceback of the system's."""
    agent = Agent(lambda _: ProcessStream(["/no/such/kubectl"]))
    with pytest.raises(AgentLostError, match="no stream to the test pod"):
        agent.start()


def test_rubbish_on_the_stream_is_a_loss() -> None:
    """What is no line of the protocol proves nothing."""
    agent = Agent(lambda _: ProcessStream(["sh", "-c", "echo hello; cat >/dev/null"]))
    with pytest.raises(AgentLostError, match="expected one JSON object"):
        agent.start()
    agent.close()


def test_output_of_the_agents_own_process_is_kept_off_the_stream() -> None:
    """Whatever is printed there goes to standard error."""
    boot = command(sys.executable)
    boot[-1] = boot[-1].removesuffix("main()\n") + (
        "from pytest_egress.backends.agent.inside import server\n"
        "run = server.Server.run\n"
        "def stray(self):\n    print('stray', flush=True)\n    run(self)\n"
        "server.Server.run = stray\nmain()\n"
    )
    stream: list[ProcessStream] = []

    def connect(_: object) -> ProcessStream:
        stream.append(ProcessStream(boot))
        return stream[0]

    agent = Agent(connect)
    assert agent.lookup("localhost").addresses
    assert stream[0].complaint() == "stray"
    agent.close()


def test_agent_ends_when_its_input_does(local_pod: LocalPod) -> None:
    """A run that was killed leaves no agent."""
    agent = Agent(local_pod.connect, python=sys.executable)
    agent.start()
    pid = local_pod.streams[0].pid
    agent.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_no_source_port_comes_again(agent: Agent, server: str) -> None:
    """Nor is one of those that the kernel gives to the pod's own programs."""
    low, high = kernels_ports()
    target = Target.parse(server)
    ports = [int(agent.probe(target, Options()).source.rpartition(":")[2]) for _ in range(50)]
    assert len(set(ports)) == 50
    assert not any(low <= port <= high for port in ports)

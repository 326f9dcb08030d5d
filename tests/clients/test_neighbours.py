"""Other plugins and patching libraries beside a capture: what each takes, and what is left alone.

docs/application-suites.md says the same in words.
"""

from __future__ import annotations

import os

import pytest

pytest_plugins = ["pytester"]

CONTRACT = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: web}
spec:
  hosts: [up.example.com]
  location: MESH_EXTERNAL
  resolution: DNS
  ports:
  - {number: 80, name: http, protocol: HTTP}
  - {number: 443, name: https, protocol: HTTPS}
"""
# In each suite: whether any function of the socket module, or of what is built on it, is patched.
STANDING = """
import os, socket, ssl, subprocess, sys
import pytest, requests

NAMES = [(socket.socket, name) for name in ("connect", "connect_ex", "getpeername", "sendto")]
NAMES += [(socket, name) for name in ("socket", "getaddrinfo", "gethostbyname")]
NAMES += [(ssl.SSLContext, "wrap_socket"), (os, "fork"), (subprocess.Popen, "__init__")]

def standing():
    return [getattr(owner, name) for owner, name in NAMES]

BEFORE = standing()
FINDERS = list(sys.meta_path)
CERTIFICATES = os.environ.get("SSL_CERT_FILE")

@pytest.fixture(autouse=True)
def nothing_is_left():
    yield
    assert all(now is then for now, then in zip(standing(), BEFORE, strict=True))
    assert sys.meta_path == FINDERS
    assert os.environ.get("SSL_CERT_FILE") == CERTIFICATES
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project with a contract, run in a process of its own."""
    for name in list(os.environ):
        if name.startswith("PYTEST_"):
            monkeypatch.delenv(name)
    pytester.makefile(".yaml", egress=CONTRACT)
    pytester.makeini(
        "[pytest]\negress_contract = egress.yaml\nfilterwarnings = error\n"
        "asyncio_default_fixture_loop_scope = function\n"
    )
    return pytester


def run(suite: pytest.Pytester, code: str, *arguments: str) -> pytest.RunResult:
    """Run one file of tests."""
    suite.makepyfile(test_it=STANDING + code)
    order = () if any("randomly" in it for it in arguments) else ("-p", "no:randomly")
    return suite.runpytest_subprocess("-p", "no:cacheprovider", *order, *arguments, timeout=600)


def test_xdist(suite: pytest.Pytester) -> None:
    """Each worker has a pod of its own; its channel to the controller is none of the capture's."""
    code = """
@pytest.mark.parametrize("number", range(4))
def test_call(egress_captured, number):
    assert requests.get("https://up.example.com/", timeout=20).ok
    egress_captured.assert_only("up.example.com:443")
"""
    run(suite, code, "-n", "2").assert_outcomes(passed=4)


def test_randomly(suite: pytest.Pytester) -> None:
    """Items of contract files and expectation files run in any order; the same seed repeats it."""
    suite.makefile(".egress.yaml", web='blocked: ["tcp://a.test:1"]\nresolves: [up.example.com]')
    code = "def test_own(egress): assert egress.get('http://up.example.com/').reachable\n"
    files = ("egress.yaml", "web.egress.yaml", "test_it.py")

    def names(seed: int, *arguments: str) -> list[str]:
        shown = ("--collect-only", "-q", f"--randomly-seed={seed}", *files)
        return [it for it in run(suite, code, *shown, *arguments).outlines if "::" in it]

    written = names(0, "--randomly-dont-reorganize")
    found = [names(seed) for seed in range(1, 4)]
    assert len(written) == 12
    assert all(sorted(it) == sorted(written) for it in found)
    assert len({tuple(it) for it in [written, *found]}) == 4
    assert names(1) == found[0]
    for workers in ((), ("-n", "4")):
        run(suite, code, *files, "--randomly-seed=3", *workers).assert_outcomes(passed=12)


def test_randomly_and_failures(suite: pytest.Pytester) -> None:
    """``-x``, ``--sw``, ``--lf``, ``-k``, ``-m`` and JUnit know shuffled items by their ids."""
    wrong = 'reachable: ["http://up.example.com", "tls://evil.test"]\nblocked: ["tcp://a.test:1"]'
    suite.makefile(".egress.yaml", web=wrong)
    arguments = ("web.egress.yaml", "-p", "cacheprovider", "--randomly-seed=7")

    def again(*more: str) -> pytest.RunResult:
        return suite.runpytest_subprocess(*arguments, *more, timeout=600)

    again("--junitxml=junit.xml").assert_outcomes(passed=2, failed=1)
    assert 'name="reachable[tls://evil.test]"' in (suite.path / "junit.xml").read_text()
    again("--lf").assert_outcomes(failed=1)
    first = again("-x").parseoutcomes()
    assert first["failed"] == 1
    assert again("--sw").parseoutcomes() == first
    right = wrong.replace("tls://evil.test", "https://up.example.com")
    suite.makefile(".egress.yaml", web=right)
    again("-k", "reachable and https").assert_outcomes(passed=1, deselected=2)
    again("-m", "egress_blocked").assert_outcomes(passed=1, deselected=2)


def test_asyncio(suite: pytest.Pytester) -> None:
    """The loop that pytest-asyncio makes is captured while the test's coroutine runs."""
    code = """
import httpx

@pytest.mark.asyncio
@pytest.mark.egress_captured
async def test_marker(egress_captured):
    async with httpx.AsyncClient(timeout=20) as client:
        assert (await client.get("https://up.example.com/")).status_code == 200
    assert egress_captured.hosts == {"up.example.com"}

@pytest.mark.asyncio
async def test_block(egress):
    with egress.capture(on_blocked="allow") as calls:
        async with httpx.AsyncClient(timeout=20) as client:
            with pytest.raises(httpx.TransportError):
                await client.get("https://evil.example/")
    assert calls.blocked.hosts == {"evil.example"}

@pytest.mark.asyncio
@pytest.mark.egress_captured
async def test_swallowed_block_fails():
    async with httpx.AsyncClient(timeout=20) as client:
        try:
            await client.get("https://evil.example/")
        except httpx.TransportError:
            pass
"""
    result = run(suite, code)
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["*1 call outside of the contract*"])


def test_anyio(suite: pytest.Pytester) -> None:
    """Both of anyio's backends."""
    code = """
import httpx

@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param

@pytest.mark.anyio
async def test_call(egress_captured):
    async with httpx.AsyncClient(timeout=20) as client:
        assert (await client.get("https://up.example.com/")).status_code == 200
    assert egress_captured.hosts == {"up.example.com"}
"""
    run(suite, code).assert_outcomes(passed=2)


def test_timeout(suite: pytest.Pytester) -> None:
    """A test that pytest-timeout ends leaves nothing patched, and the next one is as ever."""
    code = """
import time

@pytest.mark.timeout(0.5, func_only=True)
@pytest.mark.egress_captured
def test_hangs():
    time.sleep(60)

def test_after(egress_captured):
    assert requests.get("https://up.example.com/", timeout=20).ok
    assert egress_captured.hosts == {"up.example.com"}
"""
    result = run(suite, code)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*Timeout*>0.5s*"])


def test_socket_with_allowed_hosts(suite: pytest.Pytester) -> None:
    """The capture takes what it captures; of the rest, pytest-socket says what may be connected."""
    code = """
import pytest_socket

@pytest.fixture(autouse=True)
def nothing_is_left():
    yield  # pytest-socket's own patch goes after the fixtures

@pytest.mark.allow_hosts(["127.0.0.1"])
def test_call(egress, httpserver):
    httpserver.expect_request("/").respond_with_data("mine")
    guarded = socket.socket.connect
    with egress.capture() as calls:
        assert requests.get("https://up.example.com/", timeout=20).ok
        assert requests.get(httpserver.url_for("/"), timeout=20).text == "mine"
        with pytest.raises(pytest_socket.SocketConnectBlockedError), pytest.warns(UserWarning):
            socket.create_connection(("127.0.0.2", httpserver.port), timeout=20)
    assert calls.hosts == {"up.example.com"}
    assert socket.socket.connect is guarded
    with pytest.raises(pytest_socket.SocketConnectBlockedError), pytest.warns(UserWarning):
        socket.create_connection(("192.0.2.1", 80), timeout=20)

def test_after():
    assert all(now is then for now, then in zip(standing(), BEFORE, strict=True))
"""
    run(suite, code).assert_outcomes(passed=2)


def test_disabled_socket(suite: pytest.Pytester) -> None:
    """Without any socket there is no pod: the error says so; enable_socket gives it back."""
    code = """
def test_none(egress):
    pass

def test_captured_none(egress_captured):
    pass

@pytest.mark.enable_socket
def test_enabled(egress_captured):
    assert requests.get("https://up.example.com/", timeout=20).ok
    assert egress_captured.hosts == {"up.example.com"}

def test_refused():
    with pytest.raises(RuntimeError), pytest.warns(UserWarning):
        socket.socket()
"""
    result = run(suite, code, "--disable-socket")
    result.assert_outcomes(passed=2, errors=2)
    result.stdout.fnmatch_lines(["pytest_socket refuses every socket in this test*enable_socket*"])

"""`egress.session`: the application's own client library, from the pod and through its proxy."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
import requests
from urllib3.util import Timeout

from pytest_egress.backends.local import LocalBackend
from pytest_egress.capture.session import pod_session
from pytest_egress.contract import loads
from pytest_egress.egress import Egress
from pytest_egress.probe import DnsAnswer
from pytest_egress.upstream import Upstreams
from tests.observed import CONTRACT

WEATHER = "http://api.weather.com"
SECURE = "https://api.weather.com"


class CountingMesh:
    """A mesh that counts the connections which the session opens."""

    def __init__(self, pod: Egress) -> None:
        self.pod = pod
        self.dialled: list[tuple[str, int, float]] = []

    @property
    def ca_file(self) -> str | None:
        """The outside's CA."""
        return self.pod.mesh.ca_file

    def lookup(self, name: str, family: str = "A", timeout: float = 5.0) -> DnsAnswer:
        """The pod's own lookup."""
        return self.pod.mesh.lookup(name, family, timeout)

    def dial(self, address: str, port: int, timeout: float) -> socket.socket:
        """The pod's own connection, counted."""
        self.dialled.append((address, port, timeout))
        return self.pod.mesh.dial(address, port, timeout)


@pytest.fixture(scope="module")
def pod(backend: LocalBackend) -> Egress:
    """A pod under the contract with an entry of every kind."""
    return Egress(backend, loads(CONTRACT))


@pytest.fixture
def session(pod: Egress) -> Iterator[requests.Session]:
    """The pod's session, closed at the end."""
    yield pod.session
    pod.close()


@pytest.fixture
def upstreams(backend: LocalBackend) -> Iterator[Upstreams]:
    """The outside without requests of earlier tests, to script until the test ends."""
    backend.outside.reset()
    with backend.upstreams() as scripted:
        yield scripted


@pytest.fixture
def mesh(pod: Egress) -> CountingMesh:
    """The pod's mesh, counting."""
    return CountingMesh(pod)


@pytest.fixture
def counted(mesh: CountingMesh) -> Iterator[requests.Session]:
    """A session over the counting mesh."""
    with pod_session(lambda: mesh) as opened:  # type: ignore[arg-type, return-value]
        yield opened


def test_requests_go_through_the_proxy(session: requests.Session, upstreams: Upstreams) -> None:
    """The upstream sees Envoy's headers on what requests sent."""
    response = session.post(WEATHER, json={"city": "Berlin"})
    assert response.status_code == 200
    assert response.headers["server"] == "envoy"
    (request,) = upstreams["api.weather.com"].requests
    assert (request.method, request.body) == ("POST", b'{"city": "Berlin"}')
    assert request.headers["x-forwarded-proto"] == "http"
    assert "python-requests" in request.headers["user-agent"]


@pytest.mark.parametrize("url", [WEATHER, SECURE])
def test_each_request_has_its_connection(
    counted: requests.Session, mesh: CountingMesh, url: str
) -> None:
    """A script holds for the very next request: nothing is left over from the one before."""
    for _ in range(3):
        assert counted.get(url).status_code == 200
    assert [port for _, port, _ in mesh.dialled] == [443 if url == SECURE else 80] * 3


def test_each_thread_has_its_connection(
    counted: requests.Session, mesh: CountingMesh, upstreams: Upstreams
) -> None:
    """Requests at the same time do not share one."""
    upstreams["api.weather.com"].delay(0.2)
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda: statuses.append(counted.get(WEATHER).status_code))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200, 200, 200]
    assert len(mesh.dialled) == 3


def test_closed_pool_opens_again(pod: Egress) -> None:
    """After ``close`` the next use has a new session."""
    first = pod.session
    assert pod.session is first
    pod.close()
    assert pod.session is not first
    assert pod.session.get(WEATHER).status_code == 200
    pod.close()


def test_blocked_host_is_the_proxys_answer(session: requests.Session) -> None:
    """An undeclared Host gets Envoy's 502, as in the mesh; it is no exception."""
    response = session.get("http://evil.example")
    assert (response.status_code, response.content) == (502, b"")
    with pytest.raises(requests.HTTPError, match="502"):
        response.raise_for_status()


@pytest.mark.parametrize("url", ["https://evil.example", "http://api.weather.com:9999"])
def test_blocked_connection_is_a_connection_error(session: requests.Session, url: str) -> None:
    """Where there is no HTTP to answer in, the connection ends."""
    with pytest.raises(requests.ConnectionError, match="Connection aborted"):
        session.get(url)


@pytest.mark.parametrize("script", ["nxdomain", "servfail"])
def test_unknown_name_is_a_connection_error(
    session: requests.Session, upstreams: Upstreams, script: str
) -> None:
    """The pod's own lookup fails: requests says so, with the name server's answer."""
    getattr(upstreams["gone.example"], script)()
    with pytest.raises(requests.ConnectionError, match=rf"gone\.example.*{script.upper()}"):
        session.get("http://gone.example")


def test_silent_name_server_keeps_to_the_timeout(
    session: requests.Session, upstreams: Upstreams
) -> None:
    """A lookup without an answer ends when the caller's connect timeout does."""
    upstreams["slow.example"].dns_timeout()
    with pytest.raises(requests.ConnectionError, match="TIMEOUT"):
        session.get("http://slow.example", timeout=(0.2, 60))


@pytest.mark.parametrize(
    ("url", "timeout"), [(WEATHER, 0.2), (WEATHER, (5, 0.2)), (SECURE, 0.2), (SECURE, (0.2, 5))]
)
def test_silent_upstream_is_a_read_timeout(
    session: requests.Session, upstreams: Upstreams, url: str, timeout: float | tuple[float, float]
) -> None:
    """The read timeout holds; in the TLS handshake, as in urllib3, the connect timeout does."""
    upstreams["api.weather.com"].silent()
    with pytest.raises(requests.ReadTimeout):
        session.get(url, timeout=timeout)


def test_timeout_is_that_of_the_caller(counted: requests.Session, mesh: CountingMesh) -> None:
    """Dialling gets the connect timeout; without one, a bound of our own."""
    counted.get(WEATHER, timeout=(1.5, 3), headers={"connection": "close"})
    counted.get(WEATHER, timeout=Timeout(connect=2.5), headers={"connection": "close"})  # type: ignore[arg-type]
    counted.get(WEATHER, timeout=None, headers={"connection": "close"})
    assert [timeout for _, _, timeout in mesh.dialled] == [1.5, 2.5, 10.0]


def test_redirects_stay_in_the_pod(session: requests.Session, upstreams: Upstreams) -> None:
    """Each hop is a new decision of the mesh: on to HTTPS, then out of the contract."""
    upstreams["api.weather.com", 80].respond(302, {"location": f"{SECURE}/next"})
    upstreams["api.weather.com", 443].respond(200, body="there")
    response = session.get(WEATHER)
    assert (response.url, response.text) == (f"{SECURE}/next", "there")
    assert [hop.status_code for hop in response.history] == [302]
    upstreams["api.weather.com", 80].respond(302, {"location": "http://evil.example/"})
    assert session.get(WEATHER).status_code == 502
    assert upstreams["evil.example"].requests == []


def test_outsides_certificates_are_trusted_and_checked(
    session: requests.Session, upstreams: Upstreams
) -> None:
    """The throw-away CA is known; bad certificates are refused unless the caller says otherwise."""
    assert session.get(SECURE).status_code == 200
    for kind, words in (
        ("unknown-ca", "unable to get local issuer"),
        ("wrong-name", "Hostname mismatch"),
        ("expired", "expired"),
    ):
        upstreams["api.weather.com"].certificate(kind)
        with pytest.raises(requests.exceptions.SSLError, match=words):
            session.get(SECURE)


def test_address_literals_are_dialled(
    counted: requests.Session, mesh: CountingMesh, upstreams: Upstreams
) -> None:
    """An IPv4 address needs no lookup; its name may stand in the Host header."""
    assert counted.get("http://203.0.113.50").status_code == 502
    declared = counted.get("http://203.0.113.50", headers={"host": "static.weather.com"})
    assert declared.status_code == 200
    assert {address for address, _, _ in mesh.dialled} == {"203.0.113.50"}
    (request,) = upstreams["static.weather.com"].requests
    assert request.address == "203.0.113.50"


def test_responses_stream(session: requests.Session, upstreams: Upstreams) -> None:
    """A large body is read piece by piece."""
    body = b"0123456789" * 50_000
    upstreams["api.weather.com"].respond(200, body=body)
    with session.get(WEATHER, stream=True) as response:
        pieces = list(response.iter_content(4096))
    assert b"".join(pieces) == body
    assert len(pieces) > 50


def test_environment_leads_nowhere(
    backend: LocalBackend, monkeypatch: pytest.MonkeyPatch, upstreams: Upstreams
) -> None:
    """Proxies, CA bundles and .netrc of the machine would lead around the pod."""
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonexistent/ca.pem")
    monkeypatch.setenv("CURL_CA_BUNDLE", "/nonexistent/ca.pem")
    pod = Egress(backend, loads(CONTRACT))
    for url in (WEATHER, SECURE):
        assert pod.session.get(url).status_code == 200
    assert len(upstreams["api.weather.com"].requests) == 2
    pod.close()


def test_other_sessions_are_untouched(session: requests.Session) -> None:
    """Only this session is the pod's: a session of its own has the usual pools."""
    assert session.get(WEATHER).status_code == 200
    other = requests.Session()
    manager = other.get_adapter(WEATHER).poolmanager  # type: ignore[attr-defined]
    assert manager.connection_from_url(WEATHER).ConnectionCls.__name__ == "HTTPConnection"
    other.close()


def test_changed_answers_hold_for_the_next_request(pod: Egress, upstreams: Upstreams) -> None:
    """A script that changes an answer holds for a session that has a connection open."""
    assert pod.session.get(WEATHER).status_code == 200
    upstreams["api.weather.com"].nxdomain()
    with pytest.raises(requests.ConnectionError):
        pod.session.get(WEATHER)

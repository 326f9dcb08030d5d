"""grpcio connects in native code: refused under capture, run in the pod, let be on loopback."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any

import pytest

from pytest_egress.egress import Egress
from pytest_egress.errors import NativeLibraryError

CLIENT = """
import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub

with grpc.insecure_channel("up.example.com:50051") as channel:
    print(HealthStub(channel).Check(HealthCheckRequest(), timeout=20).status)
"""


@pytest.fixture
def grpc() -> Any:
    """The library, which comes without types."""
    return import_module("grpc")


@pytest.mark.parametrize("target", ["up.example.com:80", "dns:///evil.example:443", "1.2.3.4:80"])
def test_channel_to_the_outside_is_refused(
    pods: Mapping[str, Egress], grpc: Any, target: str
) -> None:
    """Before anything is sent, with the way out in the message."""
    with pods["REGISTRY_ONLY"].capture() as calls:
        with pytest.raises(NativeLibraryError, match=r"grpcio connects to .* in native code"):
            grpc.insecure_channel(target)
        with pytest.raises(NativeLibraryError, match="behind the proxy as a whole"):
            grpc.aio.insecure_channel(target)
        with pytest.raises(NativeLibraryError):
            grpc.secure_channel(target, grpc.ssl_channel_credentials())
    assert not calls


def test_server_of_the_test_s_own_is_reached(pods: Mapping[str, Egress], grpc: Any) -> None:
    """Loopback stays out of the capture."""
    health = import_module("grpc_health.v1.health")
    messages = import_module("grpc_health.v1.health_pb2")
    stubs = import_module("grpc_health.v1.health_pb2_grpc")
    server = grpc.server(ThreadPoolExecutor(1))
    stubs.add_HealthServicer_to_server(health.HealthServicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with (
            pods["REGISTRY_ONLY"].capture() as calls,
            grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
        ):
            answer = stubs.HealthStub(channel).Check(messages.HealthCheckRequest(), timeout=20)
        assert answer.status == messages.HealthCheckResponse.SERVING
        assert not calls
    finally:
        server.stop(None).wait()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="network namespaces are Linux's")
def test_program_in_the_pod_is_captured(pods: Mapping[str, Egress]) -> None:
    """The kernel captures native code as well."""
    done = pods["REGISTRY_ONLY"].run([sys.executable, "-c", CLIENT], check=True)
    assert done.stdout.strip() == "1"
    assert done.calls.reachable.hosts == {"up.example.com"}

"""What a sidecar says of itself: Envoy's admin server, asked through the pod's agent."""

from __future__ import annotations

import json

from pytest_egress.backends.agent import Agent
from pytest_egress.errors import BackendError
from pytest_egress.probe import Options, Target

__all__ = ["ADMIN", "Admin", "ProxySilentError"]

#: Where it listens in the pod.
ADMIN = "http://127.0.0.1:15000"

_READY = (None, "UNKNOWN", "HEALTHY")  # of an endpoint
_LARGE = 1 << 28  # bytes of the proxy's own description of itself


class ProxySilentError(BackendError):
    """The proxy's own server does not answer: it starts, or hangs."""


class Admin:
    """The admin server of one pod's proxy.

    Args:
        agent: of the pod.
        name: the pod's, with its namespace, as errors call it.
    """

    def __init__(self, agent: Agent, name: str) -> None:
        self._agent = agent
        self._name = name

    def ask(self, path: str) -> str:
        """Ask the proxy itself: ``config_dump``, ``clusters``, ``stats`` ...

        Raises:
            ProxySilentError: it does not answer.
            BackendError: the pod is gone.
        """
        options = Options(timeout=20.0, max_body=_LARGE)
        attempt = self._agent.probe(Target.parse(f"{ADMIN}/{path}"), options).attempt
        if attempt.response is None or not attempt.completed:
            why = attempt.failure.message if attempt.failure else ""
            raise ProxySilentError(f"the proxy of {self._name} does not answer", why)
        return attempt.response.body.decode("utf-8", "replace")

    def listeners(self) -> frozenset[str]:
        """The names of the proxy's listeners, as it has them now.

        Raises:
            BackendError: it does not answer.
        """
        told = json.loads(self.ask("listeners?format=json"))
        return frozenset(it["name"] for it in told.get("listener_statuses", ()))

    def endpoints(self) -> dict[str, set[str]]:
        """The addresses that each of the proxy's clusters leads to, those that are ready.

        Raises:
            BackendError: it does not answer.
        """
        told = json.loads(self.ask("clusters?format=json"))
        return {
            it["name"]: {
                str(host.get("address", {}).get("socket_address", {}).get("address"))
                for host in it.get("host_statuses", ())
                if host.get("health_status", {}).get("eds_health_status") in _READY
            }
            for it in told.get("cluster_statuses", ())
        }

    def warming(self) -> int:
        """How many listeners the proxy has been given and does not use yet.

        Raises:
            BackendError: it does not answer.
        """
        name = "listener_manager.total_listeners_warming"
        told = self.ask(f"stats?filter=^{name}$")
        return int(told.partition(f"{name}:")[2] or 0)

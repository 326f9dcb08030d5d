"""The sidecar of a test pod as a mesh sees it: its records, and what it has applied."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pytest_egress.backends.agent.own import OwnConnections
from pytest_egress.backends.cluster.admin import ProxySilentError
from pytest_egress.backends.cluster.joint import Joint
from pytest_egress.backends.cluster.layout import (
    CONTROL_ADDRESS,
    CONTROL_HOST,
    CONTROL_PORT,
    GENERATION_HEADER,
)
from pytest_egress.backends.cluster.progress import Say, until
from pytest_egress.backends.cluster.reading import Reading
from pytest_egress.backends.cluster.testpod import TestPod
from pytest_egress.errors import BackendError
from pytest_egress.evidence import Evidence
from pytest_egress.probe import Options, Target
from pytest_egress.upstream import Outside

__all__ = ["SidecarProxy"]

_GONE = "the test pod is gone"
_RECORD_TIMEOUT = 5.0  # seconds
_TOKEN_HEADER = "x-egress-upstream"  # noqa: S105  a header's name


class SidecarProxy:
    """Istio's own proxy in a test pod.

    Args:
        pod: that it is in.
        reading: turns its records into evidence.
        outside: signs the positive control.
        say: tells what is being waited for.
        live: the real outside is asked: the control tells what has been applied, and goes nowhere.
        control: the address that the positive control is sent to.
    """

    def __init__(
        self,
        pod: TestPod,
        reading: Reading,
        outside: Outside,
        say: Say,
        *,
        live: bool,
        control: str = CONTROL_ADDRESS,
    ) -> None:
        self._say = say
        self.pod = pod
        self.reading = reading
        self.program = reading.program
        self.witness = pod.witness
        self.directory = pod.directory
        #: The step of applying that it is to have.
        self.generation = 0
        #: Empty once the positive control has passed through, else why it has not.
        self.control_failure = "no positive control has passed through this proxy"
        self.own = OwnConnections()
        self._outside = outside
        self._live = live
        # Of refusals that come at the same time, one control later than all of them tells.
        self._still = Joint(self._control)
        self._address = control
        #: Clusters of its own, and the address that each must have an endpoint with.
        self.endpoints: Mapping[str, str] = {}

    def configure(self, timeout: float, gateways: object = None) -> None:
        """Nothing: istiod configures it."""

    def bootstrap(self, gateways: object = None) -> dict[str, Any]:
        """What it has, by its own account."""
        del gateways
        told: dict[str, Any] = json.loads(self.pod.admin.ask("config_dump"))
        return told

    def wait(self, timeout: float) -> None:
        """Return once the proxy has all that was applied up to `generation`.

        Raises:
            PodLostError: its pod is no more.
            BackendError: it has not within ``timeout`` seconds; with what it and istiod say.
        """
        what = f"waiting until the proxy of {self.pod.namespace}/{self.pod.name} has the contract"

        def missing() -> str:
            failure = self._control()
            if failure.startswith(_GONE):
                self.control_failure = failure
                self.pod.check()
            # The control passes as soon as its own listener does, and the routes are there.
            if not failure and (warming := self.pod.admin.warming()):
                failure = f"{warming} of its listeners are warming"
            if not failure and self.endpoints:
                failure = self._without_endpoint()
            return failure

        failure = until(missing, timeout, what, self._say, interval=0.05)
        self.control_failure = failure
        if failure:
            self.pod.check()
            raise BackendError(
                f"the proxy of {self.pod.namespace}/{self.pod.name} does not have the contract "
                f"after {timeout:g} s: {failure}",
                self.pod.refused(),
                "is istiod running? pilot-agent's log above says what the proxy refused",
            )

    def records(self, source: str) -> tuple[Evidence, ...]:
        """What the proxy says of the connection from ``source``, once it is complete."""
        found: tuple[Evidence, ...] = self.witness.wait(source, _RECORD_TIMEOUT)
        if not any(record.cluster and not record.undeclared for record in found):
            # A refusal is believed of a proxy that still has the contract, and passes what it may.
            self.control_failure = self._still()
        return found

    def look(self) -> None:
        """Look once whether the positive control passes through."""
        self.control_failure = self._control()

    def settle(self) -> str:
        """Return once the records of all that has happened so far are here; empty, or why not."""
        return self._control() or (
            "" if self.witness.settle() else "the proxy's records cannot be received"
        )

    def running(self) -> bool:
        """Whether the pod is there, as far as it is known without asking."""
        return not self.pod.closed

    def close(self) -> None:
        """Nothing: the pod outlives a contract."""

    def _without_endpoint(self) -> str:
        """A cluster that does not lead to the pod that it is to lead to; empty: all do."""
        known = self.pod.admin.endpoints()
        for cluster, address in self.endpoints.items():
            if address not in known.get(cluster, ()):
                return f"its cluster {cluster} does not lead to {address}"
        return ""

    def _control(self) -> str:
        """Pass the positive control through the proxy; empty, or what went wrong."""
        try:
            return self._pass_control()
        except ProxySilentError as error:
            return error.tried
        except BackendError as error:
            return f"{_GONE}: {error.tried}"

    def _pass_control(self) -> str:
        if self._live:
            wanted = f'"{GENERATION_HEADER}","value":"{self.generation}"'
            dump = self.pod.admin.ask("config_dump?resource=dynamic_route_configs")
            told = "".join(dump.split())
            return "" if wanted in told else f"its routes are not those of step {self.generation}"
        options = Options(
            address=self._address, host_header=CONTROL_HOST, timeout=5.0, max_body=1000
        )
        target = Target("http", CONTROL_HOST, CONTROL_PORT, "/")
        probed = self.pod.agent.probe(target, options)
        attempt = probed.attempt
        if attempt.response is None:
            seen = attempt.failure.message if attempt.failure else "no answer"
            return f"the positive control did not come back through it: {seen}"
        headers = attempt.response.headers
        if headers.get(_TOKEN_HEADER) != self._outside.token:
            return f"the positive control was answered by the proxy: {attempt.response.status}"
        if headers.get(GENERATION_HEADER) != str(self.generation):
            return f"it has what was applied before step {self.generation}"
        self.own.claim(probed.source)
        records = self.witness.wait(probed.source, _RECORD_TIMEOUT)
        if not any(record.kind == "http" for record in records):
            return "its record of the positive control did not arrive"
        return ""

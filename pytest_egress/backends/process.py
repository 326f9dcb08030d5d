"""One Envoy process: started from a bootstrap, asked whether it serves, stopped for good."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytest_egress.errors import BackendError

__all__ = ["EnvoyProcess"]

# The shell writes its own pid and becomes Envoy: the file is there before Envoy is, so whoever
# sweeps up after a killed run finds every process.
_LAUNCH = 'echo $$ >"$0" && exec "$@"'
_TAIL = 4000
_POLL = 0.002  # seconds between two questions to a starting Envoy


class EnvoyProcess:
    """An Envoy that lives in ``directory`` and logs there."""

    def __init__(self, program: Path, directory: Path, bootstrap: dict[str, Any]) -> None:
        self.directory = directory
        self._log = directory / "envoy.log"
        config = directory / "envoy.json"
        config.write_text(json.dumps(bootstrap, separators=(",", ":")))
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603  a constant script
                [
                    "/bin/sh",
                    "-c",
                    _LAUNCH,
                    str(directory / "envoy.pid"),
                    str(program),
                    "--config-path",
                    str(config),
                    # A second Envoy with the same base id would die in silence.
                    "--use-dynamic-base-id",
                    "--disable-hot-restart",
                    "--concurrency",
                    "1",
                    "--log-level",
                    "error",
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                # Ctrl-C is for pytest, which then stops Envoy in order.
                start_new_session=True,
                env={key: os.environ[key] for key in ("PATH", "TMPDIR") if key in os.environ},
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def running(self) -> bool:
        """Whether the process is alive."""
        return self._process.poll() is None

    def output(self) -> str:
        """The tail of what Envoy wrote."""
        try:
            return self._log.read_text(errors="replace")[-_TAIL:].strip()
        except FileNotFoundError:
            return ""

    def wait_until(self, serving: Callable[[], bool], timeout: float) -> None:
        """Return once ``serving()`` is true.

        Raises:
            BackendError: Envoy exited, or ``timeout`` seconds passed; with Envoy's own words.
        """
        deadline = time.monotonic() + timeout
        while not serving():
            try:
                code = self._process.wait(_POLL)
            except subprocess.TimeoutExpired:
                pass  # alive, as it should be
            else:
                raise BackendError(
                    f"Envoy ended with exit code {code} while it read the configuration",
                    self.output(),
                    "if Envoy names a field or a value, the contract holds something that a real "
                    "sidecar would refuse as well",
                )
            if time.monotonic() > deadline:
                raise BackendError(
                    f"Envoy did not serve within {timeout:g} seconds",
                    self.output(),
                    "is the machine overloaded? A contract of 5,000 entries needs about 1 second",
                )

    def stop(self) -> None:
        """End the process. Twice is once."""
        if self._process.poll() is None:
            # Nothing of a test proxy needs draining.
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        (self.directory / "envoy.pid").unlink(missing_ok=True)

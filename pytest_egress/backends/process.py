"""One Envoy process: started, given its bootstrap, asked whether it serves, stopped for good."""

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
_POLL = 0.001  # seconds between two questions to a starting Envoy
_REFUSED = (
    "if Envoy names a field or a value, the contract holds something that a real sidecar would "
    "refuse as well"
)


class EnvoyProcess:
    """An Envoy that lives in ``directory`` and logs there.

    It is started at once and reads its bootstrap from a named pipe: most of its start is the
    loading of a large program, which goes on while the bootstrap is still being made.
    """

    def __init__(self, program: Path, directory: Path) -> None:
        self.directory = directory
        self._log = directory / "envoy.log"
        self._pipe = directory / "envoy.json"
        os.mkfifo(self._pipe, 0o600)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603  a constant script
                [
                    "/bin/sh",
                    "-c",
                    _LAUNCH,
                    str(directory / "envoy.pid"),
                    str(program),
                    "--config-path",
                    str(self._pipe),
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

    def configure(self, bootstrap: dict[str, Any], timeout: float) -> None:
        """Hand Envoy its bootstrap; once.

        Raises:
            BackendError: Envoy exited, or did not read it within ``timeout`` seconds.
        """
        text = json.dumps(bootstrap, separators=(",", ":")).encode()
        pipe = -1

        def opened() -> bool:
            nonlocal pipe
            try:
                pipe = os.open(self._pipe, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:
                return False  # ENXIO: nobody reads yet
            return True

        self.wait_until(opened, timeout)
        os.set_blocking(pipe, True)
        try:
            with open(pipe, "wb", closefd=True) as stream:
                stream.write(text)
        except BrokenPipeError:
            self.wait_until(lambda: False, timeout)  # it is about to end: tell how
        self._pipe.unlink()

    def wait_until(self, condition: Callable[[], bool], timeout: float) -> None:
        """Return once ``condition()`` is true.

        Raises:
            BackendError: Envoy exited, or ``timeout`` seconds passed; with Envoy's own words.
        """
        deadline = time.monotonic() + timeout
        while not condition():
            try:
                code = self._process.wait(_POLL)
            except subprocess.TimeoutExpired:
                pass  # alive, as it should be
            else:
                raise BackendError(
                    f"Envoy ended with exit code {code} while it read the configuration",
                    self.output(),
                    _REFUSED,
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

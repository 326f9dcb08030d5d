"""A capture: for its duration the connections of this process go through the pod's proxy."""

from __future__ import annotations

import errno
import os
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from pytest_egress.capture import interceptor
from pytest_egress.capture.calls import Call, Calls
from pytest_egress.capture.callsite import CallSite, call_site
from pytest_egress.capture.exclusions import Exclusions
from pytest_egress.capture.kept import end_kept, keep
from pytest_egress.capture.log import Log, outside_of_contract
from pytest_egress.capture.names import is_address
from pytest_egress.capture.relay import Relay
from pytest_egress.capture.trust import Trust, bundle
from pytest_egress.errors import CapturedCallError, UncapturedProcessWarning
from pytest_egress.probe import DnsAnswer
from pytest_egress.verdict import Verdict

__all__ = ["Capture", "OnBlocked"]

OnBlocked = Literal["fail", "warn", "allow"]


class Capture:
    """Brings the process's own TCP connections and name lookups into the pod.

    Every TCP connection of every thread is captured but those to loopback, to what is excluded,
    and those of test tools. Captures nest; the innermost one takes the calls.

    Args:
        log: opens the connections and remembers them.
        explain: the long text about a call, for the failure.
        on_blocked: what a call that was blocked, or has no proof, does at the end of the block:
            fail it, warn, or nothing.
        exclude: hosts, globs, addresses and networks that are reached directly.
        trust: trust the simulated outside's CA meanwhile.
    """

    def __init__(
        self,
        log: Log,
        *,
        explain: Callable[[Call], str] = str,
        on_blocked: OnBlocked = "fail",
        exclude: Iterable[str] = (),
        trust: bool = True,
    ) -> None:
        self.log = log
        self._explain = explain
        self._on_blocked = on_blocked
        self._exclusions = Exclusions(exclude)
        self._excluded: set[str] = set()
        self._trusts = trust
        self._trust: Trust | None = None
        self._bundle: Path | None = None
        self._children: list[tuple[str, CallSite | None]] = []
        self._relays: list[Relay] = []
        self._finished = False

    def __enter__(self) -> Calls:
        end_kept(self.log.pod)
        if self._trusts and self.log.pod.ca_file is not None:
            self._start_trust(self.log.pod.ca_file)
        interceptor.start(self)
        return self.log.calls

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        __tracebackhide__ = True
        failure = self.finish()
        if failure and (error is None or isinstance(error, Exception)):
            raise CapturedCallError(failure)

    def finish(self) -> str:
        """End the capture. Twice is once.

        Returns:
            what fails the test: its calls outside of the contract; empty where there are none, or
            where ``on_blocked`` says otherwise.
        """
        if self._finished:
            return ""
        self._finished = True
        interceptor.stop(self)
        while self._relays:
            self._relays.pop().close()
        if self._trust is not None:
            self._trust.stop()
        if self._bundle is not None:
            self._bundle.unlink(missing_ok=True)
        self.log.freeze()
        keep(self.log.held())
        self._tell_children()
        failure = outside_of_contract(self.log.calls, self._explain)
        if failure and self._on_blocked == "warn":
            warnings.warn(failure, stacklevel=3)
        return failure if self._on_blocked == "fail" else ""

    def _start_trust(self, ca_file: str) -> None:
        bundle_file = ca_file
        if self._exclusions:
            # What is excluded is real, and so are its certificates.
            self._bundle = Path(f"{ca_file}.{id(self):x}.bundle")
            self._bundle.write_text(bundle(ca_file, system=True), encoding="utf-8")
            bundle_file = str(self._bundle)
        self._trust = Trust(ca_file, bundle_file)
        self._trust.start()

    def _tell_children(self) -> None:
        for what, where in self._children:
            warnings.warn(
                f"{what}{f' (at {where})' if where else ''}: what a child process calls is not "
                "captured here. Use egress.run([...]) for it",
                UncapturedProcessWarning,
                stacklevel=4,
            )

    # -- what the interceptor asks -----------------------------------------------------------

    def takes_name(self, name: str) -> bool:
        """Whether a host name is looked up in the pod."""
        return not self._exclusions.name(name)

    def takes_address(self, address: str) -> bool:
        """Whether connections to an IP address are captured."""
        return address not in self._excluded and not self._exclusions.address(address)

    def resolved(self, name: str, addresses: tuple[str, ...]) -> None:
        """An excluded name's addresses are excluded, too."""
        if self._exclusions.name(name):
            self._excluded.update(addresses)

    def lookup(self, name: str) -> DnsAnswer:
        """Look a name up in the pod; a failure is a call of its own."""
        return self.log.lookup(name, call_site())

    def open(self, address: str, port: int, timeout: float | None) -> Any:
        """Open a connection through the proxy.

        Raises:
            OSError: as behind a sidecar.
        """
        return self.log.open(address, port, timeout, call_site())

    def opened(self, opened: Any, descriptor: int, inode: int) -> None:
        """Take note of the descriptor under which the application holds a connection."""
        self.log.hold(opened, descriptor, inode)

    def refuse_udp(self, address: str, port: int) -> OSError:
        """Record a datagram that was to be sent, and say why it is not."""
        reason = (
            "a sidecar does not capture UDP: the mesh's policy cannot refuse it, "
            "and nothing of a test leaves this machine"
        )
        host = self.log.name_of(address)
        self.log.add(host, port, "udp", Verdict.INCONCLUSIVE, reason, address, call_site())
        return PermissionError(errno.EPERM, f"UDP to {address}:{port} inside a capture: {reason}")

    def relay(self, host: str, port: int) -> int:
        """A port on 127.0.0.1 whose connections go to a host of the outside.

        Raises:
            OSError: the name does not resolve.
        """
        where = call_site()
        if not is_address(host):
            answer = self.lookup(host)
            if not answer.addresses:
                raise OSError(errno.EHOSTUNREACH, f"the lookup of {host} gave {answer.rcode}")
            host = answer.addresses[0]

        def dial() -> Any:
            opened = self.log.open(host, port, None, where)
            opened.settimeout(None)
            self.log.hold(opened, opened.fileno(), os.fstat(opened.fileno()).st_ino)
            return opened

        relay = Relay(dial)
        self._relays.append(relay)
        return relay.port

    def child(self, what: str) -> None:
        """A process is about to be started, whose calls nobody here sees."""
        self._children.append((what, call_site()))

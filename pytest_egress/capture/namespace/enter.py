"""The process inside the namespace: it makes it, starts the command there and watches over it.

Runs as a program of its own, standard library only. It speaks with the test process over one Unix
socket (the first argument is its descriptor, the second the command, the third a directory of its
own): descriptors of the sockets that take the redirected
traffic go out first, then one for each request; at the end the command's status. When the other
side goes away, the command and all of its children are killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import sys
from typing import Any

from pytest_egress.capture.namespace.netlink import (
    loopback_up,
    make_every_address_local,
    redirect,
)

__all__ = ["main"]

_NEW_USER, _NEW_NET, _NEW_MOUNT = 0x10000000, 0x40000000, 0x00020000
_SUBREAPER, _DEATH_SIGNAL = 36, 1
_BIND, _PRIVATE, _RECURSIVE = 0x1000, 0x40000, 0x4000
_TCP_PORT, _DNS_PORT = 15001, 15053  # istio-iptables' own
_ANY = "0.0.0.0"  # noqa: S104 - of a namespace that nobody else is in
_NAME_SERVICE = "hosts: files dns\nnetworks: files\nprotocols: files\nservices: files\n"
_RESOLVER = "nameserver 127.0.0.1\noptions ndots:1 timeout:5 attempts:2\n"


class _StepError(Exception):
    """A step of the making that the system refuses."""

    def __init__(self, name: str, error: OSError) -> None:
        super().__init__(name, error)
        self.name = name
        self.error = error


def main() -> None:
    """Make the namespace, run the command, report; never returns."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    command: list[str] = json.loads(sys.argv[2])
    try:
        _enter(sys.argv[3])
        listeners = _listen()
    except _StepError as step:
        _tell(channel, {"failed": step.name, "errno": step.error.errno})
        os._exit(1)
    _tell(channel, {"ready": True}, *listeners)
    for listener in listeners:
        listener.close()
    _supervise(channel, command)
    os._exit(0)


def _enter(directory: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.geteuid(), os.getegid()
    if libc.unshare(_NEW_USER | _NEW_NET | _NEW_MOUNT) == 0:
        _map(user, group)
    elif libc.unshare(_NEW_NET | _NEW_MOUNT) != 0:
        # Root may do without a user namespace where those are switched off; others may not.
        code = ctypes.get_errno()
        raise _StepError("unshare", OSError(code, os.strerror(code)))
    step = "loopback"
    try:
        loopback_up()
        step = "route"
        make_every_address_local()
        step = "redirect"
        redirect(_TCP_PORT, _DNS_PORT)
    except OSError as error:
        raise _StepError(step, error) from None
    _own_name_service(libc, directory)


def _map(user: int, group: int) -> None:
    """Keep the user's own number, so that files are his and the command gets no privileges."""
    try:
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{user} {user} 1"),
            ("gid_map", f"{group} {group} 1"),
        ):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:  # noqa: PTH123
                file.write(text)
    except OSError as error:
        raise _StepError("map", error) from None


def _own_name_service(libc: ctypes.CDLL, directory: str) -> None:
    """Have libc ask a name server: a resolver daemon of the machine answers for the machine.

    Best effort: where mounting is refused and the machine asks a name server anyhow, all is well.
    """
    libc.mount(None, b"/", None, _PRIVATE | _RECURSIVE, None)
    for name, text in (("nsswitch.conf", _NAME_SERVICE), ("resolv.conf", _RESOLVER)):
        source, target = f"{directory}/{name}", os.path.realpath(f"/etc/{name}")
        with contextlib.suppress(OSError):
            with open(source, "w", encoding="ascii") as file:  # noqa: PTH123
                file.write(text)
            libc.mount(source.encode(), target.encode(), None, _BIND, None)


def _listen() -> list[socket.socket]:
    try:
        tcp = socket.create_server((_ANY, _TCP_PORT), backlog=1024)
        stream = socket.create_server((_ANY, _DNS_PORT), backlog=64)
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        datagrams.bind((_ANY, _DNS_PORT))
    except OSError as error:
        raise _StepError("listen", error) from None
    return [tcp, stream, datagrams]


def _tell(channel: socket.socket, message: dict[str, Any], *sockets: socket.socket) -> None:
    socket.send_fds(channel, [json.dumps(message).encode()], [it.fileno() for it in sockets])


def _supervise(channel: socket.socket, command: list[str]) -> None:
    """Run the command; hand out sockets of this namespace meanwhile."""
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    child = os.fork()
    if child == 0:
        _execute(channel, command)
    while True:
        watched: list[Any] = [channel, woken]
        ready = select.select(watched, [], [])[0]
        if channel in ready and not _serve(channel, child):
            return
        if woken in ready:
            os.read(woken, 64)
            status = _reap(child)
            if status is not None:
                _kill_all(child)
                _tell(channel, {"status": status})
                return


def _serve(channel: socket.socket, child: int) -> bool:
    """Do what the other side asks for; False when it has gone."""
    try:
        request = channel.recv(16)
    except OSError:
        request = b""
    if request == b"socket":
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as inside:
            _tell(channel, {"socket": True}, inside)
        return True
    _kill_all(child)
    return request == b"kill"


def _reap(child: int) -> int | None:
    """Collect whoever has ended; the command's own exit status once it has."""
    found: int | None = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        if pid == child:
            found = os.waitstatus_to_exitcode(status)


def _kill_all(child: int) -> None:
    """Kill the command's group and every orphan of it: this process is their reaper."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    path = f"/proc/self/task/{os.getpid()}/children"
    for _ in range(100):  # each round may orphan the next generation
        try:
            with open(path, encoding="ascii") as file:  # noqa: PTH123
                orphans = {int(pid) for pid in file.read().split()} - {child}
        except OSError:
            return
        if not orphans:
            return
        for pid in orphans:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def _execute(channel: socket.socket, command: list[str]) -> None:
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.setsid()
        ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
        channel.close()
        os.execvp(command[0], command)  # noqa: S606 - what the user asked for
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode())
    os._exit(127)


if __name__ == "__main__":
    main()

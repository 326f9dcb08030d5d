"""``pytest-egress diff``: exit codes, formats, files against a cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_egress.cli import main
from pytest_egress.contract import loads
from pytest_egress.drift import cluster
from tests.cli.test_validate import write
from tests.observed import documents, entry

A = entry("a", "a.example", {443: "HTTPS"}, location="MESH_EXTERNAL")
B = entry("b", "b.example", {80: "HTTP"}, location="MESH_EXTERNAL")


@pytest.fixture
def old(tmp_path: Path) -> str:
    """One host."""
    return write(tmp_path / "old" / "a.yaml", A)


@pytest.fixture
def new(tmp_path: Path) -> str:
    """Two of them, in a directory."""
    write(tmp_path / "new" / "a.yaml", A)
    write(tmp_path / "new" / "b.yaml", B)
    return str(tmp_path / "new")


def test_exit_codes(old: str, new: str, capsys: pytest.CaptureFixture[str]) -> None:
    """0 for no difference, 1 for one."""
    assert main(["diff", old, old]) == 0
    assert capsys.readouterr().out == "no difference for callers\n"
    assert main(["diff", old, new]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "opens   b.example:80 (HTTP) becomes reachable",
        f"        declared at {new}/b.yaml:8:5",
    ]


def test_json(old: str, new: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One object with the changes."""
    assert main(["diff", "--format", "json", new, old]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["schema"] == 1
    assert [(it["kind"], it["target"]) for it in told["changes"]] == [("closes", "b.example:80")]


def test_markdown(old: str, new: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The comment of a pull request; one without changes says so."""
    assert main(["diff", "--format", "markdown", old, new]) == 1
    out = capsys.readouterr().out
    assert out.startswith("### Egress\n\n**Opens**\n\n- `b.example:80` over HTTP becomes reachable")
    assert main(["diff", "--format", "markdown", old, old]) == 0
    assert capsys.readouterr().out == "### Egress\n\nNo difference for callers.\n"


def test_who_asks(tmp_path: Path, old: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Workloads that are named are the only ones."""
    private = A.replace("spec:\n", "spec:\n  exportTo: ['.']\n")
    path = write(tmp_path / "private.yaml", private)
    assert main(["diff", "--from", "default", old, path]) == 0
    assert main(["diff", "--from", "default", "--from", "shop", old, path]) == 1
    assert "becomes blocked from shop" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["one.yaml"], "give two contracts, OLD and NEW"),
        (["-c", "a.yaml", "one.yaml", "two.yaml"], "-c PATH goes with --context"),
        (["--context", "x"], "with --context name the files with -c PATH"),
        (["--context", "x", "-c", "a", "--policy", "ALLOW_ANY"], "are the cluster's own"),
        (["missing-1.yaml", "missing-2.yaml"], "missing-1.yaml:1:1: error:"),
    ],
)
def test_what_cannot_be_used(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    """Exit code 2 and what was expected."""
    assert main(["diff", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_a_cluster(
    new: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The cluster is the old side, the files are the new one."""

    def read(context: str, **options: Any) -> cluster.Cluster:
        assert (context, options) == ("staging", {"istio_namespace": "istio-system"})
        return cluster.Cluster(loads(A, file="staging:a"), ("EnvoyFilter x/y is not looked at",))

    monkeypatch.setattr(cluster, "read_cluster", read)
    assert main(["diff", "--context", "staging", "-c", new]) == 1
    out, err = capsys.readouterr()
    assert out.startswith("opens   b.example:80 (HTTP) becomes reachable")
    assert err == "warning: EnvoyFilter x/y is not looked at\n"


def test_both_are_read_whole(tmp_path: Path, old: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What makes a contract unusable is told, nothing is compared."""
    bad = write(tmp_path / "bad.yaml", documents(A, B).replace("HTTPS", "HTTPSS"))
    assert main(["diff", old, bad]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert f"{bad}:" in err

"""Paths, directories, globs, and everything that is not a readable file."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pytest_egress.contract import Problem, load
from pytest_egress.contract.files import expand, read_text
from pytest_egress.errors import ContractError
from tests.contract.samples import ENTRY


def write(path: Path, name: str) -> Path:
    """A file with one ServiceEntry of that name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(ENTRY.replace("name: weather", f"name: {name}").replace("api.", f"{name}."))
    return path


def refused(*paths: Path | str) -> list[Problem]:
    """The problems that loading raises."""
    with pytest.raises(ContractError) as caught:
        load(paths)
    return list(caught.value.problems)


def only(*paths: Path | str) -> Problem:
    """The one problem that loading raises."""
    problems = refused(*paths)
    assert len(problems) == 1
    assert problems[0].severity == "error"
    return problems[0]


def names(*paths: Path | str) -> list[str]:
    """The names of the entries that are loaded."""
    return [entry.metadata.name for entry in load(paths).service_entries]


def test_one_path_may_be_given_bare(tmp_path: Path) -> None:
    """A single path needs no list, as text or as Path."""
    file = write(tmp_path / "a.yaml", "a")
    assert load(file).service_entries == load(str(file)).service_entries
    assert load(file).files == (str(file),)


def test_a_directory_is_read_recursively_and_sorted(tmp_path: Path) -> None:
    """Every .yaml and .yml below it, hidden directories and other files left out."""
    write(tmp_path / "b.yml", "b")
    write(tmp_path / "sub" / "c.yaml", "c")
    write(tmp_path / "a.yaml", "a")
    write(tmp_path / ".git" / "x.yaml", "x")
    (tmp_path / "README.md").write_text("no: yaml: at all")
    assert names(tmp_path) == ["a", "b", "c"]


def test_globs_are_sorted_and_recursive(tmp_path: Path) -> None:
    """``**`` reaches into directories."""
    write(tmp_path / "z.yaml", "z")
    write(tmp_path / "d" / "e" / "x.yaml", "x")
    assert names(f"{tmp_path}/**/*.yaml") == ["x", "z"]


def test_a_file_with_glob_characters_in_its_name_is_a_file(tmp_path: Path) -> None:
    """What exists is not a pattern."""
    assert names(write(tmp_path / "a[1].yaml", "a")) == ["a"]


def test_a_file_that_is_named_twice_is_read_once(tmp_path: Path) -> None:
    """Overlapping paths and links do not make duplicates."""
    file = write(tmp_path / "a.yaml", "a")
    (tmp_path / "link.yaml").symlink_to(file)
    assert names(file, tmp_path, f"{tmp_path}/*.yaml") == ["a"]


def test_a_kustomization_is_left_alone(tmp_path: Path) -> None:
    """It lies beside the resources and may have neither kind nor apiVersion."""
    write(tmp_path / "a.yaml", "a")
    (tmp_path / "kustomization.yaml").write_text("resources:\n- a.yaml\n")
    assert load(tmp_path).other_kinds == {"Kustomization": 1}


@pytest.mark.parametrize("pattern", ["*.yaml", "**/*.yml", "none[0-9].yaml"])
def test_a_glob_without_match_is_an_error(tmp_path: Path, pattern: str) -> None:
    """A contract that silently reads nothing would allow nothing and prove nothing."""
    problem = only(f"{tmp_path}/{pattern}")
    assert problem.rule == "file/no-match"
    assert "matches no file" in problem.message


def test_a_directory_without_yaml_is_an_error(tmp_path: Path) -> None:
    """As is an empty directory."""
    assert "no *.yaml" in only(tmp_path).message


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    """With the path as it was given."""
    problem = only(tmp_path / "none.yaml")
    assert problem.rule == "file/missing"
    assert problem.position.file == str(tmp_path / "none.yaml")


def test_a_path_below_a_file_is_missing(tmp_path: Path) -> None:
    """A part of the path that is no directory."""
    file = write(tmp_path / "a.yaml", "a")
    assert "no directory" in only(file / "b.yaml").message


def test_a_dangling_link_says_where_it_points(tmp_path: Path) -> None:
    """Also when a directory brings it up."""
    (tmp_path / "a.yaml").symlink_to("gone.yaml")
    problem = only(tmp_path)
    assert problem.rule == "file/dangling-link"
    assert '"gone.yaml"' in problem.message


def test_a_link_to_itself_is_an_error(tmp_path: Path) -> None:
    """A circle of links is unreadable, not endless."""
    (tmp_path / "a.yaml").symlink_to("a.yaml")
    assert only(tmp_path / "a.yaml").rule == "file/unreadable"


def test_a_pipe_is_refused_without_blocking(tmp_path: Path) -> None:
    """No one writes to it: opening it would wait for ever."""
    os.mkfifo(tmp_path / "a.yaml")
    problem = only(tmp_path)
    assert problem.rule == "file/not-regular"
    assert "named pipe" in problem.message


def test_a_socket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket file is no YAML."""
    monkeypatch.chdir(tmp_path)  # socket paths are short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("a.yaml")
        assert "a socket" in only("a.yaml").message


def test_a_device_is_refused() -> None:
    """/dev/zero never ends."""
    assert "a device" in only("/dev/zero").message


def test_a_path_with_a_nul_is_an_error() -> None:
    """The operating system cannot say it."""
    problem = read_text("a\0b.yaml")
    assert isinstance(problem, Problem)
    assert problem.rule == "file/unreadable"


def test_a_file_without_permission_is_an_error(request: pytest.FixtureRequest) -> None:
    """As an ordinary user, whoever runs the tests."""
    # Not tmp_path: a user without rights could not even enter its parents.
    folder = Path(tempfile.mkdtemp())
    request.addfinalizer(lambda: shutil.rmtree(folder))
    folder.chmod(0o755)
    file = write(folder / "a.yaml", "a")
    file.chmod(0)
    shut = folder / "shut"
    write(shut / "b.yaml", "b")
    shut.chmod(0)
    program = (
        "import os, sys\n"
        "from pytest_egress.contract import load\n"
        "from pytest_egress.errors import ContractError\n"
        "load_first = load  # imported before the rights are given up\n"
        "import yaml, yaml.cyaml, difflib, pytest_egress.contract.nodes\n"
        "if os.getuid() == 0:\n"
        "    os.setgid(65534)\n"
        "    os.setuid(65534)\n"
        "try:\n"
        "    load(sys.argv[1:])\n"
        "except ContractError as error:\n"
        "    print([p.rule for p in error.problems])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(file), str(shut)],
        capture_output=True,
        text=True,
        check=False,
    )
    shut.chmod(0o755)
    assert done.stdout.strip() == ("['file/permission', 'file/permission', 'file/no-match']"), (
        done.stderr
    )


def test_an_empty_file_is_no_problem(tmp_path: Path) -> None:
    """It declares nothing."""
    (tmp_path / "a.yaml").touch()
    contract = load(tmp_path)
    assert contract.service_entries == ()
    assert contract.files == (str(tmp_path / "a.yaml"),)


def test_a_huge_file_is_refused_by_its_size(tmp_path: Path) -> None:
    """A sparse file of 200 MB is never read."""
    with (tmp_path / "a.yaml").open("wb") as stream:
        stream.truncate(200 << 20)
    problem = only(tmp_path / "a.yaml")
    assert problem.rule == "file/too-large"
    assert str(200 << 20) in problem.message


def test_the_same_object_in_two_files_is_an_error(tmp_path: Path) -> None:
    """Kubernetes would keep the later of the two."""
    write(tmp_path / "a.yaml", "same")
    write(tmp_path / "b.yaml", "same")
    problem = next(p for p in refused(tmp_path) if p.severity == "error")
    assert problem.rule == "document/duplicate"
    assert problem.position.file == str(tmp_path / "b.yaml")
    assert f"{tmp_path / 'a.yaml'}:4:9" in problem.message


def test_links_to_one_file_are_one(tmp_path: Path) -> None:
    """A file is read once, whichever of its names and directories it is reached by."""
    real = tmp_path / "real"
    real.mkdir()
    (real / "a.yaml").write_text("")
    (real / "b.yaml").symlink_to("a.yaml")
    (tmp_path / "other").symlink_to("real")
    paths = [
        real / "a.yaml",
        real / "b.yaml",
        tmp_path / "other/a.yaml",
        tmp_path / "other/../real",
    ]
    assert expand(paths, []) == [str(real / "a.yaml")]

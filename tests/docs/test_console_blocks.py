"""Every console example is the output of the command that it shows."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_egress.cli import main
from tests.docs.conftest import Write
from tests.docs.pages import DOCS, PAGES, README, ROOT, Page

_RUN = "pytest-egress"


def _commands(page: Page) -> Iterator[tuple[str, str]]:
    """Each command of a page with the output shown below it."""
    for block in page.blocks("console"):
        for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield command, output


def matches(shown: str, real: str) -> bool:
    """Whether the output is the one shown; ``...`` stands for anything."""
    pattern = re.escape(shown.strip()).replace(r"\.\.\.", ".*")
    return re.fullmatch(pattern, real.strip(), re.DOTALL) is not None


def _exit_code(arguments: list[str]) -> int:
    try:
        return main(arguments)
    except SystemExit as error:  # argparse
        return int(error.code or 0)


@pytest.mark.parametrize(
    "page",
    [
        page
        for page in PAGES
        if any(command.split()[0] in {_RUN, "pytest"} for command, _ in _commands(page))
    ],
    ids=lambda page: page.name,
)
def test_output_is_real(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    clean_environment: None,
    write_files: Write,
    page: Page,
) -> None:
    """Commands print what is shown and end as shown; ``cat`` shows a file of theirs."""
    write_files(tmp_path, page)
    monkeypatch.chdir(tmp_path)
    code = 0
    for command, shown in _commands(page):
        words = shlex.split(command)
        if words[0] == _RUN:
            code = _exit_code(words[1:])
            streams = capsys.readouterr()
            real = streams.out + streams.err
            assert matches(shown, real), f"{page.name}: $ {command}\n{real}"
        elif words[0] == "pytest":
            done = subprocess.run(
                [sys.executable, "-m", *words, "-p", "no:cacheprovider"],
                capture_output=True,
                text=True,
                check=False,
            )
            code = done.returncode
            assert matches(shown, done.stdout), f"{page.name}: $ {command}\n{done.stdout}"
        elif words[0] == "cat":
            path = tmp_path / words[1]
            if path.exists():
                assert matches(shown, path.read_text("utf-8")), f"{page.name}: $ {command}"
            else:
                path.write_text(shown, encoding="utf-8")
        elif words == ["echo", "$?"]:
            assert int(shown) == code, f"{page.name}: after {command}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_are_known(page: Page) -> None:
    """No example names a program that this test knows nothing of."""
    for command, _ in _commands(page):
        assert command.split()[0] in {_RUN, "cat", "echo", "pytest", "python3"}, command


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("probe -c egress https://api.weather.com", 0),
        ("probe -c egress https://evil.example", 1),
        ("probe -c egress https://api.weather.com https://evil.example", 1),
        ("probe -c egress api.weather.com", 2),
        ("probe -c missing.yaml https://api.weather.com", 2),
        ("probe https://api.weather.com", 2),
        ("probe -c egress --nonsense", 2),
        ("probe --batch no-json.jsonl", 2),
        ("probe -c egress --envoy /missing/envoy https://api.weather.com", 3),
        ("probe -c egress --timeout 1 tcp://[2001:db8::1]:443", 3),
        ("validate egress", 0),
        ("validate broken.yaml", 1),
        ("validate broken.yaml missing.yaml", 2),
        ("validate --strict egress", 0),
        ("validate --batch no-json.jsonl", 2),
        ("", 2),
        ("init", 0),
        ("clean --dry-run --backend local", 0),
        ("clean --backend nonsense", 2),
        ("rbac", 0),
        ("rbac --mode nonsense", 2),
        ("init missing.yaml", 2),
        ("init --envoy /missing/envoy", 3),
        ("table -c egress", 0),
        ("table -c missing.yaml", 2),
        ("table -c egress --probe --envoy /missing/envoy", 3),
        ("schema expectations", 0),
        ("schema nonsense", 2),
        ("doctor --only --require python", 0),
        ("doctor --only --envoy /missing/envoy", 1),
        ("doctor --require nonsense", 2),
    ],
)
def test_exit_codes(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    write_files: Write,
    arguments: str,
    code: int,
) -> None:
    """Each documented exit code has a case that ends with it."""
    write_files(tmp_path, README)
    (tmp_path / "broken.yaml").write_text("kind: ServiceEntry\n")
    (tmp_path / "no-json.jsonl").write_text("no JSON\n")
    monkeypatch.chdir(tmp_path)
    assert _exit_code(shlex.split(arguments)) == code


def test_every_documented_exit_code_is_tried() -> None:
    """The table of exit codes has no code without a case above, and no case without a row."""
    documented = {int(row["code"]) for row in DOCS["command"].rows("code", "means")}
    [marker] = test_exit_codes.pytestmark  # type: ignore[attr-defined]
    assert {code for _, code in marker.args[1]} == documented


def test_exit_codes_of_pytest(
    pytester: pytest.Pytester, clean_environment: None, write_files: Write
) -> None:
    """A contract that cannot be used ends a run with 4, a failing expectation with 1."""
    write_files(pytester.path, README)
    pytester.makepyfile("def test_it(egress): assert egress.get('https://evil.example').reachable")
    assert pytester.runpytest("-p", "no:cacheprovider").ret == pytest.ExitCode.TESTS_FAILED
    contract = "--egress-contract=missing.yaml"
    result = pytester.runpytest("-p", "no:cacheprovider", contract)
    assert result.ret == pytest.ExitCode.USAGE_ERROR


def test_readme_shows_the_whole_example() -> None:
    """The first green run comes early in the README; tests/examples counts its tests."""
    lines = README.text.splitlines()
    green = next(index for index, line in enumerate(lines) if " passed in " in line)
    assert green < 48


@pytest.mark.skipif(not ROOT.joinpath(".ci/run").exists(), reason="a source archive has no .ci")
def test_ci_finds_the_test_command() -> None:
    """The extraction of .ci/run yields exactly the README's command."""
    script = ROOT.joinpath(".ci/run").read_text().splitlines()
    [extraction] = [line for line in script if line.startswith("command=$(")]
    answer = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f'{extraction}\necho "$command"'],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    marked = README.text.partition("<!-- test-command -->\n")[2]
    fenced = marked.splitlines()[:3]
    assert fenced[0] in {"```console", "```sh"}
    assert fenced[2] == "```"
    assert answer.stdout.strip() == fenced[1].removeprefix("$ ")
    assert answer.stdout.strip().endswith("/pytest -n auto")

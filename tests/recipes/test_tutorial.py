"""The tutorial, word by word: from an empty repository to a job that is green, and then red."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.docs.pages import DOCS
from tests.docs.test_console_blocks import matches
from tests.recipes.conftest import Shell
from tests.recipes.extract import github_workflow
from tests.recipes.test_run import run_steps

pytestmark = pytest.mark.recipes
PAGE = DOCS["tutorial"]
WORKFLOW = ".github/workflows/egress.yaml"
METRICS = "https://metrics.example"
OPEN = """\
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default}
spec: {outboundTrafficPolicy: {mode: ALLOW_ANY}}
"""
ENDED = "@@ ended with"  # what the script prints behind each command


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Nothing is in it yet."""
    directory = tmp_path / "repository"
    subprocess.run(["git", "init", "-q", directory], check=True)
    return directory


def script() -> tuple[str, list[tuple[str, str]]]:
    """All that a reader types, files included, as one session; each command with what is shown."""
    lines, commands = [], []
    for block in PAGE.blocks():
        if block.path:
            parent = Path(block.path).parent
            lines += [f"mkdir -p {parent}", f"cat >{block.path} <<'@@'", f"{block.text}@@"]
            continue
        assert block.language == "console", f"{PAGE.name}:{block.line}"
        for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
            command, _, shown = part.partition("\n")
            commands.append((command, shown))
            lines += [command, f'echo "{ENDED} $?"']
    return "\n".join(lines), commands


def judge(shell: Shell, repository: Path, temp: Path) -> tuple[list[str], bool]:
    """The job on what is committed, as a runner has it."""
    identity = "-c user.name=a -c user.email=a@example.com"
    shell(f"git add -- . ':!.venv' && git {identity} commit -qm change && git clean -qxfd")
    return run_steps(shell, github_workflow(repository / WORKFLOW, temp), temp)


def test_word_by_word(shell: Shell, repository: Path, tmp_path: Path) -> None:
    """Each command prints what is shown; the job is green, and red as the page says."""
    typed, commands = script()
    done = shell(f"set +eu\nexec 2>&1\n{typed}")
    parts = re.split(rf"^{ENDED} (\d+)\n", done.stdout, flags=re.MULTILINE)
    printed, codes = parts[:-1:2], parts[1::2]
    assert len(printed) == len(commands) > 6
    for (command, shown), real, code in zip(commands, printed, codes, strict=True):
        # Only the probe of what is blocked says so by its exit code.
        expected = "1" if shlex.split(command)[:2] == ["pytest-egress", "probe"] else "0"
        assert code == expected, f"$ {command}\n{real}"
        if shown:
            assert matches(shown, real), f"$ {command}\n{real}"

    told, good = judge(shell, repository, tmp_path / "temp")
    assert good, told
    [suite] = ET.parse(repository / "egress.xml").getroot()
    assert (suite.attrib["tests"], suite.attrib["failures"]) == ("7", "0")
    assert told[-1] == "uploaded"

    contract, code_of = repository / "egress/weather.yaml", repository / "weather.py"
    for path, old, new in (
        (contract, "api.weather.com", "api.elsewhere.com"),
        (code_of, "return requests", f"requests.get({METRICS!r}, timeout=5)\n    return requests"),
    ):
        text = path.read_text("utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")
        told, good = judge(shell, repository, tmp_path / "temp")
        assert not good, told
        path.write_text(text, encoding="utf-8")
    (repository / "egress/open.yaml").write_text(OPEN, encoding="utf-8")
    told, good = judge(shell, repository, tmp_path / "temp")
    assert not good, told

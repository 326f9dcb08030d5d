"""The reference, written from the code: ``python docs/site/reference.py`` writes, ``--check`` asks.

docs/reference.md and docs/formats.md are all of it; in other pages what stands between
``<!-- generated: NAME -->`` and ``<!-- end -->`` is, where NAME may be a file of the repository. A
page that is not up to date fails a test.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from formats import formats_page, formats_table

from pytest_egress import cli, plugin
from pytest_egress.contract.rules import RULES
from pytest_egress.doctor.enforcement import enforcement_checks
from pytest_egress.doctor.programs import program_checks
from pytest_egress.setting import Setting
from pytest_egress.settings import SETTINGS
from pytest_egress.verdict import Verdict

DOCS = Path(__file__).resolve().parents[1]
COMMAND = "python docs/site/reference.py"

_BLOCK = re.compile(r"(<!-- generated: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
_LANGUAGES = {
    ".ini": "ini",
    ".py": "python",
    ".yaml": "yaml",
    ".yml": "yaml",
    "Dockerfile": "dockerfile",
    "Jenkinsfile": "groovy",
}
_HEAD = f"""# Reference

Every name that this version has. This page is written by `{COMMAND}` from the code itself.
The guides say what each is for.
"""
_SECTIONS = (
    *("settings", "markers", "fixtures", "verdicts", "command", "exit codes"),
    "JSON formats",
)


def reference() -> str:
    """The page docs/reference.md."""
    parts = (f"\n## {name[0].upper()}{name[1:]}\n\n{GENERATED[name]()}" for name in _SECTIONS)
    return "".join((_HEAD, *parts))


def settings_by_name() -> str:
    """The four names of each setting, and its default."""
    header = ("setting", "option", "ini key", "environment", "marker", "default")
    return _table(header, map(_names, SETTINGS))


def settings() -> str:
    """Each setting with what it says."""
    rows = ((*_names(it)[1:], _cell(it.help)) for it in SETTINGS)
    return (
        "Precedence: command line, environment, nearest marker, ini, default; see "
        "[settings](settings.md).\n\n"
        + _table(("option", "ini key", "environment", "marker", "default", "says"), rows)
    )


def markers() -> str:
    """Each marker as pytest registers it."""
    rows = ((f"`{name}`", _cell(meaning)) for name, meaning in plugin.MARKERS.items())
    return _table(("marker", "says"), rows)


def fixtures() -> str:
    """Each fixture with its scope and the first sentence of its description."""
    found = dict(_declared_fixtures())
    rows = ((f"`{name}`", *found[name]) for name in plugin.__all__)
    return _table(("fixture", "scope", "is"), rows)


def _declared_fixtures() -> Iterator[tuple[str, tuple[str, str]]]:
    """The package's fixtures; pytest's own record of them differs between its versions."""
    for path in sorted((DOCS.parent / "pytest_egress").glob("*.py")):
        for node in ast.parse(path.read_text("utf-8")).body:
            if not isinstance(node, ast.FunctionDef):
                continue
            for decorator in node.decorator_list:
                written = ast.unparse(decorator)
                if written.startswith("pytest.fixture"):
                    scope = re.search(r"scope='(\w+)'", written)
                    says = _sentence(ast.get_docstring(node) or "")
                    yield node.name, (scope[1] if scope else "function", says)


def verdicts() -> str:
    """Each verdict by name."""
    names = ", ".join(f"`{verdict.value}`" for verdict in Verdict)
    return f"{names}: see [verdicts](verdicts.md).\n"


def command() -> str:
    """Each subcommand with its arguments."""
    return "\n".join(_subcommands(cli.parser()))


def exit_codes() -> str:
    """The exit codes of the command, of pytest, and the checks of doctor."""
    stated = (cli.__doc__ or "").partition("Exit codes:\n")[2]
    found = re.findall(r"^ {4}(\d+) {2}(.+(?:\n {7}.+)*)", stated, re.MULTILINE)
    rows = [(code, _cell(" ".join(text.split()))) for code, text in found]
    checks = (*enforcement_checks(), *program_checks())
    return (
        "Of `pytest-egress`:\n\n"
        + _table(("code", "means"), rows)
        + "\n`pytest` keeps its own: 1 when a test or an expectation fails, 4 when a setting or "
        "the contract of the run\ncannot be used, 5 when no test was collected.\n\n"
        "The checks of `pytest-egress doctor`:\n\n"
        + _table(("check", "needed for"), ((f"`{it.name}`", it.purpose) for it in checks))
    )


def json_formats() -> str:
    """Each JSON format by name."""
    return "[JSON formats](formats.md) has their fields.\n\n" + formats_table(_table)


def lint_rules() -> str:
    """The catalogue of lint rules."""
    rows = ((f"`{it.id}`", it.level, it.warns_of) for it in RULES.values())
    return "\n" + _table(("rule", "level", "warns of"), rows)


GENERATED: dict[str, Callable[[], str]] = {
    "settings-by-name": settings_by_name,
    "settings": settings,
    "markers": markers,
    "fixtures": fixtures,
    "verdicts": verdicts,
    "command": command,
    "exit codes": exit_codes,
    "JSON formats": json_formats,
    "lint-rules": lint_rules,
}


def up_to_date(path: Path) -> str:
    """What a page should hold."""
    if path.name == "reference.md":
        return reference()
    if path.name == "formats.md":
        return formats_page(COMMAND, _table)

    def written(block: re.Match[str]) -> str:
        name = block[2]
        text = GENERATED[name]() if name in GENERATED else _file(name)
        return f"{block[1]}\n{text}\n{block[3]}"

    return _BLOCK.sub(written, path.read_text("utf-8"))


def stale() -> list[Path]:
    """The pages that do not hold what they should."""
    paths = sorted({*DOCS.glob("*.md"), DOCS / "reference.md", DOCS / "formats.md"})
    return [it for it in paths if not it.exists() or it.read_text("utf-8") != up_to_date(it)]


def _file(name: str) -> str:
    """A file of the repository as a fenced block."""
    path = DOCS.parent / name
    language = _LANGUAGES.get(path.name) or _LANGUAGES[path.suffix]
    return f"```{language}\n{path.read_text('utf-8')}```\n"


def _subcommands(parser: argparse.ArgumentParser) -> Iterator[str]:
    [commands] = (
        action for action in parser._actions if isinstance(action, argparse._SubParsersAction)
    )
    for name, sub in commands.choices.items():
        formatter = sub._get_formatter()
        rows = []
        for action in sub._actions:
            if "--help" in action.option_strings:
                continue
            metavar = action.metavar or ("|".join(map(str, action.choices or ())))
            value = f" {metavar}" if metavar and action.nargs != 0 else ""
            names = [f"`{it}{value}`" for it in action.option_strings] or [f"`{metavar}`"]
            rows.append((_cell(", ".join(names)), _cell(formatter._expand_help(action))))
        yield f"### {name}\n"
        yield textwrap.fill(sub.description or "", 118, break_on_hyphens=False) + "\n"
        yield _table(("argument", "means"), rows)


def _names(setting: Setting) -> tuple[str, ...]:
    option = f"{setting.option} {setting.metavar}".strip()
    names = (option, setting.ini, setting.variable)
    marker = f"`{setting.marker}`" if setting.marker else ""
    return (setting.name, *(f"`{name}`" for name in names), marker, _default(setting))


def _default(setting: Setting) -> str:
    value = setting.default
    if value == []:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"`{value[0]}`"
    return f"`{value}`" if value else setting.help.partition("default: ")[2]


def _sentence(text: str) -> str:
    """The first paragraph on one line."""
    return _cell(" ".join(text.partition("\n\n")[0].split()))


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    bars = ("|".join(("", *(f" {cell} " for cell in line), "")) for line in lines)
    return "\n".join(re.sub(r" --- ", "---", re.sub(r"\|  \|", "| |", bar)) for bar in bars) + "\n"


def _cell(text: str) -> str:
    """Text as it may stand in a table; what looks like code is code, as in docstrings."""
    return re.sub(r"``([^`]*)``", r"`\1`", text).replace("|", r"\|")


def main(arguments: list[str]) -> int:
    """Write the pages, or say which of them are not up to date."""
    found = stale()
    for path in found:
        if arguments == ["--check"]:
            print(f"{path.name} is not up to date: run {COMMAND}", file=sys.stderr)
        else:
            path.write_text(up_to_date(path), encoding="utf-8")
            print(f"{path.name} written")
    return 1 if found and arguments == ["--check"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

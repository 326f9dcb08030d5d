"""``pytest-egress schema``: the JSON Schemas of files that people write or programs read."""

from __future__ import annotations

import argparse

__all__ = ["add_schema"]


def add_schema(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    schema = commands.add_parser(
        "schema",
        help="print the JSON Schema of expectation files, or of --egress-json",
        description="Print a JSON Schema (draft 2020-12), for editors and for programs.",
    )
    schema.add_argument(
        "name",
        choices=("expectations", "run"),
        help="expectations: *.egress.yaml; run: what --egress-json writes",
    )
    schema.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    if options.name == "run":
        from pytest_egress.report.as_json import schema_text

        text = schema_text()
    else:
        from pytest_egress.collection.json_schema import SCHEMA_FILE

        text = SCHEMA_FILE.read_text(encoding="utf-8")
    print(text, end="")
    return 0

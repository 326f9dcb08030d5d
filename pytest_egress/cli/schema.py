"""``pytest-egress schema``: the JSON Schemas of files that people write or programs read."""

from __future__ import annotations

import argparse

__all__ = ["add_schema"]


def add_schema(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    from pytest_egress.cli.json_schemas import SCHEMAS

    schema = commands.add_parser(
        "schema",
        help="print the JSON Schema of what is written for it, and of what it writes",
        description="Print a JSON Schema (draft 2020-12), for editors and for programs.",
    )
    schema.add_argument(
        "name",
        choices=tuple(SCHEMAS),
        metavar="NAME",
        help="; ".join(f"{name}: {it.of}" for name, it in SCHEMAS.items()).replace("`", ""),
    )
    schema.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    import json

    from pytest_egress.cli.json_schemas import SCHEMAS

    print(json.dumps(SCHEMAS[options.name].make(), indent=2, ensure_ascii=False))
    return 0

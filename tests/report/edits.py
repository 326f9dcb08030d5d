"""Doing to a YAML text what an explanation suggests, as a person with an editor would."""

from __future__ import annotations

import re

__all__ = ["follow"]

_EDIT = re.compile(
    r"^edit +to (?:allow|block) it, (.*) at \S*?:(\d+):(\d+)( to \S+)?", re.MULTILINE
)

_DECLARE = re.compile(r"^edit +to allow it, declare it: a ServiceEntry with (.*)$", re.MULTILINE)
_HEAD = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: declared}"


def follow(explanation: str, text: str) -> str:
    """The text with the suggested edit made at the position that the explanation names."""
    if declare := _DECLARE.search(explanation):
        spec = declare[1].replace("a host name of your choice", "hosts: [chosen.example.com]")
        return f"{text}\n---\n{_HEAD}\nspec: {{{spec}}}\n"
    found = _EDIT.search(explanation)
    assert found is not None, explanation
    action, line, column = found[1], int(found[2]) - 1, int(found[3]) - 1
    lines = text.splitlines()
    indent = re.match(r" *", lines[line])
    assert indent is not None
    if item := re.fullmatch(r"add (.*) to (?:the ports|the hosts|exportTo)", action):
        value = item[1] if item[1][0] in "{'" else f"'{item[1]}'"
        lines.insert(line, f"{indent[0]}- {value}")
    elif value := re.fullmatch(r"set exportTo: \[(.*)\]", action):
        lines[line] = f"{indent[0]}- {value[1]}"
    elif action == "change the protocol":
        assert found[4]
        lines[line] = lines[line][:column] + found[4].removeprefix(" to ")
    elif action.startswith("take "):
        del lines[line]
    else:
        raise AssertionError(f"an edit that nobody can follow: {action}")
    return "\n".join(lines)

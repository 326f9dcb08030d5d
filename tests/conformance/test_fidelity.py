"""docs/fidelity.md says what the recorded cases and the code say."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance import fidelity
from tests.conformance.fidelity import MARK, PAGE, field_paths, generated_part, paths_of


def test_the_page_is_up_to_date() -> None:
    """A case, a field or a refusal that came or went changes the page."""
    _, _, below = PAGE.read_text(encoding="utf-8").partition(MARK)
    assert below.strip() == generated_part().strip(), "run python -m tests.conformance.fidelity"


def test_every_field_has_a_case_or_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """No field is called supported that nothing compares, and none is left open.

    Cases that come from seeds do not count: another seed, and they are gone.
    """
    monkeypatch.setattr(fidelity, "_WHOLE", ("structure", "behaviour"))
    assert [line for line in generated_part().splitlines() if "| no case |" in line] == []


def test_every_kind_is_told() -> None:
    """The CRDs' fields are all there, nested ones too."""
    assert "endpoints[].address" in field_paths("ServiceEntry")
    assert "http[].match[].headers{}.exact" in field_paths("VirtualService")
    assert "proxyListenPort" in field_paths("MeshConfig")
    assert len(field_paths("DestinationRule")) > 300


def test_paths_of_lists_and_maps() -> None:
    """Keys of a map are no fields; what stands below them is."""
    known = frozenset({"match", "match[].headers", "match[].headers{}.exact", "hosts"})
    value = {"hosts": ["a"], "match": [{"headers": {"x-a": {"exact": "1"}}}]}
    assert list(paths_of(value, known)) == [
        "hosts",
        "match",
        "match[].headers",
        "match[].headers{}.exact",
    ]


def test_a_page_without_the_mark_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The prose above the mark is nobody's to overwrite."""
    page = tmp_path / "fidelity.md"
    page.write_text("prose")
    monkeypatch.setattr(fidelity, "PAGE", page)
    assert fidelity.main() == 1
    assert page.read_text() == "prose"
    assert "has no line" in capsys.readouterr().err

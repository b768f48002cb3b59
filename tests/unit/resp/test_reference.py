"""The reference page says what the table says."""

from __future__ import annotations

from pathlib import Path

from counter_node.resp.commands import BY_NAME
from counter_node.resp.reference import GROUPS, page

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "commands.md"


def test_the_page_is_not_stale() -> None:
    assert PAGE.read_text() == page(), (
        "make it anew: python -m counter_node.resp.reference > docs/reference/commands.md"
    )


def test_every_command_has_its_place_and_its_words() -> None:
    for command in BY_NAME.values():
        assert command.group in GROUPS
        assert f"`{command.name.upper()}" in page()
        assert command.summary.endswith("."), command.name

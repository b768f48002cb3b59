"""The reference page says what the table says."""

from __future__ import annotations

from counter_node.resp.commands import BY_NAME

from generators.commands_page import GROUPS, PAGE, page


def test_the_page_is_not_stale() -> None:
    assert PAGE.read_text() == page(), "run: python generators/commands_page.py"


def test_every_command_has_its_place_and_its_words() -> None:
    for command in BY_NAME.values():
        assert command.group in GROUPS
        assert f"`{command.name.upper()}" in page()
        assert command.summary.endswith("."), command.name

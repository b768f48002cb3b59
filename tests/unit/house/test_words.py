"""The repository keeps to its words (docs/internals/words.md), in the manner of TigerBeetle's
tidy.zig: the page's second table names what not to say.

words.json has the uses that there are still, by word and room (the first folder of a path; "." is
the top). A number may only shrink; `--rewrite` lowers it, and never raises one."""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "internals" / "words.md"
DEBTS = Path(__file__).with_name("words.json")
WHO = "Who …"
"""Of prose alone: a sentence that begins so and is no question."""
EXEMPT = {"CHANGELOG.md", "docs/internals/words.md", "tests/unit/house/test_words.py"}

Uses = dict[str, dict[str, int]]


def forbidden() -> list[str]:
    table = PAGE.read_text().partition("| not | but |")[2].partition("\n\n")[0]
    return re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)


def pattern(word: str) -> re.Pattern[str]:
    """A word with a capital letter is a class; any other is meant in any case."""
    flags = re.NOFLAG if word[0].isupper() else re.IGNORECASE
    return re.compile(rf"(?<![A-Za-z]){word}(?![a-z])", flags)


def texts() -> Iterator[tuple[str, str]]:
    """Each file that people write, and what is in it."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py", "*.pyx", "*.md"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in listed.stdout.splitlines():
        if name not in EXEMPT and (ROOT / name).exists():
            yield name, (ROOT / name).read_text()


def who(text: str) -> int:
    """Sentences of prose that begin with "Who" and are no question."""
    return len(re.findall(r"(?:^|(?<=[.:;|] ))Who [^?.|]*(?:[.|]|$)", text, re.MULTILINE))


def uses() -> Uses:
    found: dict[str, Counter[str]] = {word: Counter() for word in (*forbidden(), WHO)}
    patterns = {word: pattern(word) for word in forbidden()}
    for name, text in texts():
        room = name.partition("/")[0] if "/" in name else "."
        for word, each in patterns.items():
            found[word][room] += len(each.findall(text))
        if name.endswith(".md"):
            found[WHO][room] += who(text)
    return {w: {room: n for room, n in sorted(c.items()) if n} for w, c in found.items()}


def lowered(known: Uses, found: Uses) -> Uses:
    """Of both the lower number; a word that has none left has no row."""
    both = {
        word: {
            room: min(number, found.get(word, {}).get(room, 0)) for room, number in rooms.items()
        }
        for word, rooms in known.items()
    }
    left = {word: {room: n for room, n in rooms.items() if n} for word, rooms in both.items()}
    return {word: rooms for word, rooms in left.items() if rooms}


def test_no_word_is_used_more_often_than_before(pytestconfig: pytest.Config) -> None:
    known: Uses = json.loads(DEBTS.read_text())
    found = uses()
    if pytestconfig.getoption("--rewrite"):
        DEBTS.write_text(json.dumps(lowered(known, found), indent=1, ensure_ascii=False) + "\n")
    more = [
        f"{word} in {room}: {number}, at most {known.get(word, {}).get(room, 0)}"
        for word, rooms in found.items()
        for room, number in rooms.items()
        if number > known.get(word, {}).get(room, 0)
    ]
    assert not more, f"see docs/internals/words.md for what to say instead: {more}"


def test_a_line_of_prose_has_a_hundred_columns_at_most() -> None:
    """But for tables, code, links and what a generator made."""
    long = []
    for name, text in texts():
        if name.endswith(".md") and not name.startswith("docs/reference/"):
            prose = re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)
            long += [
                f"{name}: {line[:60]}…"
                for line in prose.splitlines()
                if len(line) > 100 and not re.search(r"^\||^<!--|\]\(|^Made from", line)
            ]
    assert not long


@pytest.mark.parametrize(
    ("word", "text", "times"),
    [
        ("told", "who was told, `status.told`, TOLD_S and told_by, but not untold or tolde", 4),
        ("Sheaf", "a Sheaf, a sheaf", 1),
    ],
)
def test_parts_of_identifiers_are_words(word: str, text: str, times: int) -> None:
    assert len(pattern(word).findall(text)) == times


@pytest.mark.parametrize(
    ("text", "times"),
    [("Who leads? Ask. Who may write, reads.", 1), ("so. Who must know\nasks.", 1), ("he who", 0)],
)
def test_who_at_the_beginning_is_no_subject(text: str, times: int) -> None:
    assert who(text) == times


def test_a_number_is_lowered_and_never_raised() -> None:
    known = {"told": {"docs": 3, "kind": 2}, "door": {"docs": 1}}
    found = {"told": {"docs": 5, "kind": 1}}
    assert lowered(known, found) == {"told": {"docs": 3, "kind": 1}}

"""One table of exit codes: the code, the page that repeats it, and every other page that names one
agree."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from counter_node import __main__ as program
from counter_node.counters.machine import SnapshotFormatError, UnknownOperationError
from counter_node.exits import Exit
from counter_node.node.node import EndedByErrorError
from counter_node.security.acl import AclError
from counter_node.storage import (
    DamagedError,
    DiskFailedError,
    DiskFullError,
    InvariantError,
    StorageError,
)

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "internals" / "node-interface.md"
OF_OTHERS = {"reference/kubectl.md", "operating/local-cluster.md", "internals/archive.md"}
"""Pages that name exit codes of other programs."""


def test_the_page_has_the_same_table_as_the_code() -> None:
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    assert rows == [(str(int(e)), e.text) for e in Exit]


def test_every_page_that_names_an_exit_code_names_one_of_the_table() -> None:
    for page in DOCS.rglob("*.md"):
        if str(page.relative_to(DOCS)) not in OF_OTHERS:
            for code in re.findall(
                r"\bexit(?:s with|ed with)?(?: code)? (\d+)", page.read_text(), re.IGNORECASE
            ):
                assert int(code) in set(Exit), f"{page}: exit code {code}"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (None, Exit.STOPPED),
        (OSError("address in use"), Exit.SETTINGS),
        (AclError("line 3"), Exit.SETTINGS),
        (StorageError("locked"), Exit.SETTINGS),
        (DamagedError("wal/1", "gone"), Exit.DAMAGED),
        (DiskFailedError("EIO"), Exit.DISK),
        (DiskFullError("no room"), Exit.DISK),
        (SnapshotFormatError("9"), Exit.TOO_OLD),
        (UnknownOperationError("99"), Exit.TOO_OLD),
        (InvariantError("a gap"), Exit.BUG),
        (EndedByErrorError(OSError("in the middle of a turn")), Exit.BUG),
        (RuntimeError("bug"), Exit.BUG),
    ],
)
def test_what_ends_the_process_gives_the_code_of_the_table(
    error: Exception | None, code: Exit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(work: object) -> None:
        if error is not None:
            raise error

    monkeypatch.setattr(program, "serve", lambda found: None)
    monkeypatch.setattr("uvloop.run", run)
    monkeypatch.setattr(
        "sys.argv", ["counter_node", "--cluster-id", "c", "--data-dir", str(tmp_path)]
    )
    assert program.main() == code


def test_bad_settings_give_the_code_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "sys.argv",
        ["counter_node", "--tick-ms", "0", "--cluster-id", "c", "--data-dir", "/nowhere"],
    )
    assert program.main() == Exit.SETTINGS

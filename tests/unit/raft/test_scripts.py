"""Each script in testdata/ leads to what it says. `--rewrite` makes the output again: read the
diff, it is a change of behaviour."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.unit.raft_scripts import Script

FOLDER = Path(__file__).parent / "testdata"
SCRIPTS = sorted(FOLDER.glob("*.txt"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: p.stem)
def test_the_core_does_what_the_script_says(path: Path, pytestconfig: pytest.Config) -> None:
    written = path.read_text()
    found = Script(written).run()
    if pytestconfig.getoption("--rewrite"):
        path.write_text(found)
    assert found == path.read_text(), (
        "if that is meant: pytest tests/unit/raft/test_scripts.py --rewrite"
    )


def test_there_are_scripts() -> None:
    assert len(SCRIPTS) >= 25

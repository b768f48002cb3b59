"""`python -m counter_node.wal inspect DIR`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from counter_node import wal
from counter_node.raft.types import HardState
from counter_node.storage import Storage

from tests.support.unit.storage_files import (
    CLUSTER,
    SEGMENT_BYTES,
    entries,
    put,
    snapshot,
    take_snapshot,
)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    storage, _ = Storage.open(
        tmp_path, CLUSTER, node_id_source=lambda: 0xAB, segment_bytes=SEGMENT_BYTES
    )
    put(storage, entries(1, 20, size=150), HardState(3, 0xAB, 7))
    put(storage, entries(21, 30, size=150))
    take_snapshot(storage, snapshot(20))
    storage.close()
    return tmp_path


def contents(directory: Path) -> dict[Path, tuple[bytes, int]]:
    return {
        path: (path.read_bytes(), path.stat().st_mtime_ns)
        for path in directory.rglob("*")
        if path.is_file()
    }


def test_inspect_prints_the_log_and_changes_nothing(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(directory)
    assert wal.main(["inspect", str(directory)]) == 0
    text = capsys.readouterr().out
    for expected in (
        '"nodeId": "00000000000000ab"',
        "wal/0000000000000002.wal: 4096 bytes",
        "segment 1, format 1, cluster 6f0c-test, node 00000000000000ab",
        "term 3 vote 00000000000000ab commit 7",
        "entries 21..30",
        "entry 25 term 1 DATA 150 bytes",
        "turn, snapshot at 20 of term 1",
        "members [clicks-0=00f1000000000001]",
        "end of segment, continued in 0000000000000002.wal",
    ):
        assert expected in text, expected
    assert text.splitlines()[-1].startswith("usable: term 3")
    assert "10 entries after it, log ends at 30" in text
    assert contents(directory) == before


def test_inspect_works_while_the_node_runs(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    storage, _ = Storage.open(directory, CLUSTER, segment_bytes=SEGMENT_BYTES)
    assert wal.main(["inspect", str(directory)]) == 0
    storage.close()


def test_inspect_flags_damage_and_a_torn_tail(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    newest = sorted((directory / "wal").glob("*.wal"))[-1]
    whole = newest.read_bytes()
    used = len(whole.rstrip(b"\0"))
    newest.write_bytes(whole[: used - 3] + b"?" + whole[used - 2 :])
    assert wal.main(["inspect", str(directory)]) == 3
    text = capsys.readouterr().out
    assert "DAMAGED: CRC-32C is" in text
    assert text.splitlines()[-1].startswith("DAMAGED:")
    torn_at = (used // 512 + 2) * 512
    newest.write_bytes(whole[:torn_at] + b"half a frame" + whole[torn_at + 12 :])
    assert wal.main(["inspect", str(directory)]) == 0
    text = capsys.readouterr().out
    assert f"@{used:<9} torn: the frame's beginning was never written" in text
    assert text.splitlines()[-1].startswith("torn:")


def test_inspect_of_something_else_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        wal.main(["inspect", str(tmp_path / "absent")])
    assert wal.main(["inspect", str(tmp_path)]) == 3
    assert "DAMAGED: no usable node.json" in capsys.readouterr().out
    assert os.listdir(tmp_path) == []

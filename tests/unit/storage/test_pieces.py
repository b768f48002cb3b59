"""Snapshots read in pieces, and the entries that are still there behind a snapshot."""

from __future__ import annotations

from pathlib import Path

import pytest
from counter_node.raft.types import HardState
from counter_node.storage import DamagedError, Storage, StorageError

from tests.support.unit.storage_files import entries, snapshot


def test_a_snapshot_is_read_in_pieces_also_after_its_file_was_deleted(tmp_path: Path) -> None:
    storage, _ = Storage.open(tmp_path, "c")
    taken = snapshot(1, state=b"0123456789")
    storage.save_snapshot(taken)
    reader = storage.open_snapshot(taken.meta)
    for path in (tmp_path / "snap").iterdir():
        path.unlink()
    assert reader.piece(0, 4) == (b"0123", False)
    assert reader.piece(4, 6) == (b"456789", True)
    assert reader.piece(8, 4) == (b"89", True)
    assert reader.piece(99, 4) == (b"", True)
    reader.close()
    with pytest.raises(StorageError):
        storage.open_snapshot(taken.meta)
    storage.close()


def test_a_damaged_snapshot_is_not_sent_to_anyone(tmp_path: Path) -> None:
    storage, _ = Storage.open(tmp_path, "c")
    taken = snapshot(1, state=b"0123456789")
    storage.save_snapshot(taken)
    (path,) = (tmp_path / "snap").iterdir()
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedError):
        storage.open_snapshot(taken.meta)
    storage.close()


def test_entries_up_to_the_snapshot_are_found_again(tmp_path: Path) -> None:
    storage, _ = Storage.open(tmp_path, "c")
    storage.write(HardState(1, 0, 0), entries(1, 9))
    storage.sync()
    storage.save_snapshot(snapshot(6))
    storage.write(None, [], snapshot(6).meta)
    storage.sync()
    storage.close()
    again, found = Storage.open(tmp_path, "c")
    assert found.behind == entries(1, 6)
    assert found.entries == entries(7, 9)
    again.close()


def test_nothing_is_behind_a_snapshot_that_came_from_elsewhere(tmp_path: Path) -> None:
    storage, _ = Storage.open(tmp_path, "c")
    storage.write(HardState(5, 0, 0), entries(1, 9))
    storage.sync()
    storage.save_snapshot(snapshot(6, 4))
    storage.write(None, entries(7, 8, term=5), snapshot(6, 4).meta)
    storage.sync()
    storage.close()
    again, found = Storage.open(tmp_path, "c")
    assert found.behind == []
    assert found.entries == entries(7, 8, term=5)
    again.close()

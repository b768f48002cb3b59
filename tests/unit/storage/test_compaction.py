"""Snapshots in the log, and what compaction deletes and keeps."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from counter_node.raft.types import HardState, SnapshotMeta
from counter_node.storage import DamagedError, InvariantError, Storage, StorageError

from tests.support.unit.storage_files import (
    CLUSTER,
    SEGMENT_BYTES,
    SNAP,
    entries,
    new_sim,
    open_sim,
    put,
    reopen,
    segments,
    snapshot,
    take_snapshot,
)  # fmt: skip


def test_a_snapshot_counts_only_once_the_log_names_it() -> None:
    disk, storage = new_sim()
    put(storage, entries(1, 5))
    storage.save_snapshot(snapshot(3))
    _, recovered = reopen(disk)
    assert recovered.snapshot is None
    assert recovered.entries == entries(1, 5)
    assert disk.list_dir(SNAP) == []


def test_a_marker_for_a_snapshot_that_was_not_saved_is_refused() -> None:
    _, storage = new_sim()
    put(storage, entries(1, 5))
    with pytest.raises(InvariantError, match="not saved"):
        storage.write(None, [], snapshot(3).meta)


def test_entries_after_a_snapshot_in_the_log_are_kept() -> None:
    disk, storage = new_sim()
    put(storage, entries(1, 5))
    take_snapshot(storage, snapshot(3))
    assert (storage.first_index, storage.last_index) == (4, 5)
    assert reopen(disk)[1].entries == entries(4, 5)


def test_a_snapshot_beyond_the_log_restarts_it() -> None:
    disk, storage = new_sim()
    put(storage, entries(1, 5))
    take_snapshot(storage, snapshot(9, 4), entries(10, 11, term=5))
    assert (storage.first_index, storage.last_index) == (10, 11)
    _, recovered = reopen(disk)
    assert recovered.snapshot == snapshot(9, 4)
    assert recovered.entries == entries(10, 11, term=5)


def test_a_snapshot_of_another_term_restarts_the_log() -> None:
    disk, storage = new_sim()
    put(storage, entries(1, 5, term=1))
    take_snapshot(storage, snapshot(3, 2))
    assert (storage.first_index, storage.last_index) == (4, 3)
    assert reopen(disk)[1].entries == []


def test_the_later_of_two_markers_is_in_force() -> None:
    disk, storage = new_sim()
    put(storage, entries(1, 9))
    take_snapshot(storage, snapshot(3, state=b"three"))
    take_snapshot(storage, snapshot(6, state=b"six"))
    _, recovered = reopen(disk)
    assert recovered.snapshot == snapshot(6, state=b"six")
    assert recovered.entries == entries(7, 9)


def test_an_unsynced_marker_leaves_the_snapshot_before_in_force() -> None:
    disk, storage = new_sim()
    put(storage, entries(1, 9))
    take_snapshot(storage, snapshot(3))
    storage.save_snapshot(snapshot(6))
    storage.write(None, [], snapshot(6).meta)
    disk.crash(None)
    _, recovered = open_sim(disk)
    assert recovered.snapshot == snapshot(3)
    assert recovered.entries == entries(4, 9)


def test_a_snapshot_may_be_saved_while_the_log_goes_on(tmp_path: Path) -> None:
    storage, _ = Storage.open(tmp_path, CLUSTER, segment_bytes=SEGMENT_BYTES)
    put(storage, entries(1, 1), HardState(1, 0, 0))
    taken = snapshot(1, state=b"s" * (8 << 20))
    saver = threading.Thread(target=storage.save_snapshot, args=(taken,))
    saver.start()
    index = 2
    while saver.is_alive() or index < 20:
        put(storage, entries(index, index))
        index += 1
    saver.join()
    put(storage, meta=taken.meta)
    storage.compact(2)
    storage.close()
    storage, recovered = Storage.open(tmp_path, CLUSTER, segment_bytes=SEGMENT_BYTES)
    assert recovered.snapshot == taken
    assert recovered.entries == entries(2, index - 1)
    storage.close()


def test_compaction_deletes_whole_segments_and_nothing_that_is_needed() -> None:
    disk, storage = new_sim()
    for index in range(1, 60):
        put(storage, entries(index, index, size=300))
    before = len(segments(disk))
    take_snapshot(storage, snapshot(50))
    storage.compact(20)
    middle = len(segments(disk))
    storage.compact(51)
    assert before > middle > len(segments(disk))
    assert len(segments(disk)) <= 3
    _, recovered = reopen(disk)
    assert recovered.entries == entries(51, 59, size=300)


def test_compaction_deletes_segments_whose_entries_were_replaced() -> None:
    disk, storage = new_sim()
    for index in range(1, 31):
        put(storage, entries(index, index, size=400))
    newest = segments(disk)[-1]
    put(storage, entries(5, 8, term=2))
    take_snapshot(storage, snapshot(4))
    storage.compact(5)
    assert segments(disk)[0] >= newest
    assert reopen(disk)[1].entries == entries(5, 8, term=2)


def test_a_snapshot_of_a_rewritten_position_keeps_what_follows_it() -> None:
    disk, storage = new_sim()
    put(storage, entries(1, 2, term=1) + entries(3, 5, term=3))
    put(storage, entries(2, 6, term=4))
    take_snapshot(storage, snapshot(2, 4))
    assert reopen(disk)[1].entries == entries(3, 6, term=4)


def test_compaction_keeps_the_snapshot_in_force_and_the_one_before() -> None:
    disk, storage = new_sim()
    put(storage, entries(1, 9))
    for index in (2, 4, 6):
        take_snapshot(storage, snapshot(index))
    storage.save_snapshot(snapshot(8))
    storage.compact(7)
    assert [int(name.split("-")[0], 16) for name in disk.list_dir(SNAP)] == [4, 6, 8]


def test_a_saved_snapshot_can_be_read_back_until_it_is_compacted_away() -> None:
    disk, storage = new_sim()
    put(storage, entries(1, 9))
    storage.save_snapshot(snapshot(2, state=b"two"))
    assert storage.load_snapshot(snapshot(2).meta) == snapshot(2, state=b"two")
    for index in (2, 4, 6):
        take_snapshot(storage, snapshot(index))
    assert storage.load_snapshot(snapshot(2).meta) == snapshot(2)
    storage.compact(7)
    assert storage.load_snapshot(snapshot(4).meta) == snapshot(4)
    with pytest.raises(StorageError, match="no longer kept") as caught:
        storage.load_snapshot(snapshot(2).meta)
    assert not isinstance(caught.value, DamagedError)
    disk.unlink(SNAP / disk.list_dir(SNAP)[-1])
    with pytest.raises(DamagedError, match="missing"):
        storage.load_snapshot(snapshot(6).meta)


def test_compaction_beyond_the_durable_snapshot_is_refused() -> None:
    _, storage = new_sim()
    put(storage, entries(1, 9))
    take_snapshot(storage, snapshot(4))
    with pytest.raises(InvariantError, match="covers up to 4"):
        storage.compact(6)
    storage.save_snapshot(snapshot(8))
    storage.write(None, [], snapshot(8).meta)
    with pytest.raises(InvariantError):
        storage.compact(9)


def test_log_bytes_fall_with_a_snapshot_and_survive_a_reopen() -> None:
    disk, storage = new_sim(1 << 20)
    for index in range(1, 101):
        put(storage, entries(index, index, size=5000))
    full = storage.log_bytes
    take_snapshot(storage, snapshot(90))
    rest = storage.log_bytes
    assert full > 500_000
    assert 50_000 <= rest <= 50_000 + 2 * 65536
    assert abs(reopen(disk, 1 << 20)[0].log_bytes - rest) <= 65536


def test_log_bytes_are_zero_after_an_installed_snapshot() -> None:
    _, storage = new_sim()
    put(storage, entries(1, 9, size=200))
    take_snapshot(storage, snapshot(20))
    assert storage.log_bytes < 100


def test_entries_and_snapshots_cannot_go_back_behind_the_snapshot() -> None:
    _, storage = new_sim()
    put(storage, entries(1, 6))
    take_snapshot(storage, snapshot(4))
    with pytest.raises(InvariantError, match=r"entry 4; expected one in 5\.\.7"):
        storage.write(None, entries(4, 4))
    storage.save_snapshot(snapshot(3))
    with pytest.raises(InvariantError, match="snapshot 3"):
        storage.write(None, [], snapshot(3).meta)
    storage.save_snapshot(snapshot(6))
    with pytest.raises(InvariantError, match=r"entry 6; expected one in 7\.\.7"):
        storage.write(None, entries(6, 6), snapshot(6).meta)


def test_a_snapshot_meta_round_trips_with_its_membership() -> None:
    disk, storage = new_sim()
    put(storage, entries(1, 2))
    take_snapshot(storage, snapshot(2))
    _, recovered = reopen(disk)
    assert recovered.snapshot is not None
    assert recovered.snapshot.meta == SnapshotMeta(2, 1, snapshot(2).meta.membership)

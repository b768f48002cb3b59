"""The promises of `Storage`, one by one; those of snapshots are in test_compaction.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from counter_node.raft.types import Entry, EntryKind, HardState
from counter_node.storage import DamagedError, InvariantError, Storage, StorageError
from counter_node.storage.storage import random_node_id

from tests.support.sim_disk import CrashError, SimDisk
from tests.support.unit.storage_files import (
    CLUSTER,
    DIRECTORY,
    NODE,
    SEGMENT_BYTES,
    entries,
    entry,
    new_sim,
    open_sim,
    put,
    reopen,
    segments,
    snapshot,
    take_snapshot,
)  # fmt: skip

# -- what comes back


def test_a_new_directory_has_a_random_id_and_nothing_else(tmp_path: Path) -> None:
    storage, recovered = Storage.open(tmp_path / "a" / "b", CLUSTER, segment_bytes=SEGMENT_BYTES)
    other, second = Storage.open(tmp_path / "c", CLUSTER, segment_bytes=SEGMENT_BYTES)
    assert 0 < recovered.node_id < 1 << 63
    assert recovered.node_id != second.node_id
    assert (recovered.hard_state, recovered.snapshot, recovered.entries, recovered.repaired) == (
        HardState(),
        None,
        [],
        None,
    )
    assert (storage.first_index, storage.last_index) == (1, 0)
    storage.close()
    other.close()


def test_ids_are_63_bits_and_never_zero() -> None:
    assert all(0 < random_node_id() < 1 << 63 for _ in range(1000))


def test_everything_synced_comes_back_from_a_real_directory(tmp_path: Path) -> None:
    storage, first = Storage.open(tmp_path, CLUSTER, segment_bytes=SEGMENT_BYTES)
    log = [
        entry(1, 2, b"", EntryKind.NOOP),
        entry(2, 2, b"a" * 5000),
        entry(3, 3, b"cfg", EntryKind.CONFIG),
    ]
    put(storage, log[:1], HardState(2, first.node_id, 0))
    put(storage, log[1:], HardState(3, 0, 1))
    take_snapshot(storage, snapshot(1, 2, b"s" * 10_000))
    storage.close()
    storage, again = Storage.open(tmp_path, CLUSTER, segment_bytes=SEGMENT_BYTES)
    assert again.node_id == first.node_id
    assert again.hard_state == HardState(3, 0, 1)
    assert again.snapshot == snapshot(1, 2, b"s" * 10_000)
    assert again.entries == log[1:]
    assert again.repaired is None
    assert [type(e.kind) for e in again.entries] == [EntryKind, EntryKind]
    storage.close()


def test_an_unsynced_write_is_lost_with_the_machine() -> None:
    disk, storage = new_sim()
    put(storage, entries(1, 3))
    storage.write(None, entries(4, 5))
    disk.crash(None)
    assert open_sim(disk)[1].entries == entries(1, 3)


def test_a_rewritten_suffix_replaces_the_old_one() -> None:
    disk, storage = new_sim()
    put(storage, entries(1, 5, term=1))
    put(storage, entries(3, 4, term=2))
    assert storage.last_index == 4
    _, recovered = reopen(disk)
    assert recovered.entries == entries(1, 2, term=1) + entries(3, 4, term=2)


def test_a_rewritten_suffix_reaches_back_over_segments() -> None:
    disk, storage = new_sim()
    for index in range(1, 30):
        put(storage, entries(index, index, size=400))
    assert len(segments(disk)) > 2
    put(storage, entries(2, 2, term=2))
    _, recovered = reopen(disk)
    assert recovered.entries == entries(1, 1, size=400) + entries(2, 2, term=2)


def test_a_rewrite_stays_right_after_the_segment_it_reaches_into_is_gone() -> None:
    disk, storage = new_sim()
    for index in range(1, 21):
        put(storage, entries(index, index, size=400))
    put(storage, entries(9, 20, term=2))
    take_snapshot(storage, snapshot(8))
    storage.compact(9)
    storage, recovered = reopen(disk)
    assert recovered.entries == entries(9, 20, term=2)
    put(storage, entries(21, 21, term=2))
    assert reopen(disk)[1].entries == [*entries(9, 20, term=2), *entries(21, 21, term=2)]


def test_a_frame_larger_than_a_segment_fits() -> None:
    disk, storage = new_sim()
    large = [entry(1, 1, b"L" * 50_000)]
    put(storage, large)
    put(storage, entries(2, 3))
    storage.close()
    assert reopen(disk)[1].entries == large + entries(2, 3)


def test_a_vote_alone_is_durable() -> None:
    disk, storage = new_sim()
    put(storage, hard_state=HardState(10, 77, 0))
    disk.crash(None)
    assert open_sim(disk)[1].hard_state == HardState(10, 77, 0)


# -- what is refused


def test_two_processes_cannot_use_one_directory(tmp_path: Path) -> None:
    storage, _ = Storage.open(tmp_path, CLUSTER, segment_bytes=SEGMENT_BYTES)
    with pytest.raises(StorageError, match="another process"):
        Storage.open(tmp_path, CLUSTER, segment_bytes=SEGMENT_BYTES)
    storage.close()
    Storage.open(tmp_path, CLUSTER, segment_bytes=SEGMENT_BYTES)[0].close()


def test_another_cluster_s_directory_is_refused() -> None:
    disk, _ = new_sim()
    disk.kill()
    with pytest.raises(DamagedError, match="belongs to cluster '6f0c-test', expected 'other'"):
        open_sim(disk, cluster="other")


@pytest.mark.parametrize(
    ("new", "hard_state", "message"),
    [
        ([entry(5)], None, r"entry 5; expected one in 1\.\.4"),
        ([entry(4), entry(6)], None, "entry 6 where 5 is due"),
        ([entry(4, 0)], None, r"of term 0; expected 1\.\.9"),
        ([entry(4, 3), entry(5, 2)], None, r"of term 2; expected 3\.\.9"),
        ([entry(4, 10)], None, r"of term 10; expected 1\.\.9"),
        ([], HardState(8, 0, 0), "term 8 after one of term 9"),
        ([], HardState(9, 5, 0), "already given to"),
        ([], HardState(9, 0, 0), "already given to"),
    ],
)
def test_what_raft_never_does_is_refused_and_not_written(
    new: list[Entry], hard_state: HardState | None, message: str
) -> None:
    disk, storage = new_sim()
    put(storage, entries(1, 3))
    with pytest.raises(InvariantError, match=message):
        storage.write(hard_state, new)
    put(storage, [entry(4)])
    assert reopen(disk)[1].entries == [*entries(1, 3), entry(4)]


def test_a_second_write_before_the_sync_is_refused() -> None:
    _, storage = new_sim()
    storage.write(None, entries(1, 1))
    with pytest.raises(InvariantError, match="before the last write was synced"):
        storage.write(None, entries(2, 2))


def test_a_closed_storage_refuses_everything() -> None:
    _, storage = new_sim()
    storage.close()
    storage.close()
    calls: list[Callable[[], object]] = [
        lambda: storage.write(None, entries(1, 1)),
        storage.sync,
        lambda: storage.compact(1),
        lambda: storage.save_snapshot(snapshot(1)),
    ]
    for call in calls:
        with pytest.raises(InvariantError, match="closed"):
            call()


# -- a new directory and a crash


@pytest.mark.parametrize("keep_all", [True, False])
def test_a_crash_while_the_directory_is_made_leaves_an_id_that_was_used_or_none(
    keep_all: bool,
) -> None:
    """A node id is either in node.json with a log behind it, or nobody has ever seen it."""
    whole = SimDisk()
    open_sim(whole)
    for step in range(whole.steps):
        disk = SimDisk()
        disk.steps_left = step
        with pytest.raises(CrashError):
            open_sim(disk)
        disk.kill()
        if not keep_all:
            disk.crash(None)
        seen = (
            b"nodeId" in disk.read(DIRECTORY / "node.json")
            if "node.json" in disk.list_dir(DIRECTORY)
            else False
        )
        storage, recovered = Storage.open(
            DIRECTORY, CLUSTER, node_id_source=lambda: 42, segment_bytes=SEGMENT_BYTES, disk=disk
        )
        assert recovered.node_id == (NODE if seen else 42)
        put(storage, entries(1, 1), HardState(1, 0, 0))
        disk.crash(None)
        assert open_sim(disk)[1].entries == entries(1, 1)

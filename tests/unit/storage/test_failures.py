"""Disks that fail or fill up, on the real file system, through failpoints."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from counter_node.raft.types import HardState
from counter_node.storage import (
    DiskFailedError,
    DiskFullError,
    Failpoints,
    InvariantError,
    Storage,
    segments,
    snapshots,
)
from counter_node.storage.disk import Disk

from tests.support.unit.storage_files import (
    CLUSTER,
    SEGMENT_BYTES,
    entries,
    put,
    snapshot,
    take_snapshot,
)


def open_with(directory: Path, faults: str = "", disk: Disk | None = None) -> Storage:
    return Storage.open(
        directory, CLUSTER, segment_bytes=SEGMENT_BYTES, failpoints=Failpoints(faults), disk=disk
    )[0]


def open_entries(directory: Path) -> list[int]:
    storage, recovered = Storage.open(directory, CLUSTER, segment_bytes=SEGMENT_BYTES)
    storage.close()
    return [e.index for e in recovered.entries]


def put_until_failure(storage: Storage, first: int, size: int) -> tuple[DiskFullError, int]:
    """The error that ended it, and the last index that was acknowledged."""
    for index in range(first, first + 1000):
        try:
            put(storage, entries(index, index, size=size))
        except DiskFullError as error:
            return error, index - 1
    raise AssertionError("it never failed")


class Counting(Failpoints):
    """Learns how often each place was visited."""

    def __init__(self) -> None:
        super().__init__("")
        self.visits: dict[str, int] = {}

    def visit(self, name: str) -> None:
        self.visits[name] = self.visits.get(name, 0) + 1


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, Counting]:
    """A directory with entries 1..2, and how often opening it visits each failpoint."""
    storage = open_with(tmp_path)
    put(storage, entries(1, 2), HardState(1, 0, 0))
    storage.close()
    counting = Counting()
    Storage.open(tmp_path, CLUSTER, segment_bytes=SEGMENT_BYTES, failpoints=counting)[0].close()
    return tmp_path, counting


@pytest.mark.parametrize(
    "place", ["storage.write", "storage.sync", "storage.write.wal", "storage.sync.wal"]
)
@pytest.mark.parametrize("fault", ["eio", "enospc"])
def test_the_first_failure_is_final_and_nothing_more_is_acknowledged(
    made: tuple[Path, Counting], place: str, fault: str
) -> None:
    directory, opening = made
    storage = open_with(directory, f"{place}={fault}@{opening.visits[place] + 2}")
    put(storage, entries(3, 3))
    with pytest.raises(DiskFailedError, match="failpoint") as first:
        put(storage, entries(4, 4))
    calls: list[Callable[[], object]] = [
        storage.sync,
        lambda: storage.write(None, entries(4, 4)),
        lambda: storage.save_snapshot(snapshot(2)),
        lambda: storage.compact(1),
    ]
    for call in calls:
        with pytest.raises(DiskFailedError) as later:
            call()
        assert later.value is first.value
    assert storage.failure is first.value
    assert ("Make room" in str(first.value)) == (fault == "enospc")
    storage.close()
    assert open_entries(directory)[:3] == [1, 2, 3]


def test_a_failed_sync_is_made_good_by_writing_again_when_the_directory_is_opened(
    made: tuple[Path, Counting],
) -> None:
    """The page cache may show a frame whose pages the kernel has given up: opening must write it,
    not only sync it."""
    directory, opening = made
    storage = open_with(directory, f"storage.sync.wal=eio@{opening.visits['storage.sync.wal'] + 1}")
    with pytest.raises(DiskFailedError):
        put(storage, entries(3, 3))
    storage.close()
    counting = Counting()
    storage, recovered = Storage.open(
        directory, CLUSTER, segment_bytes=SEGMENT_BYTES, failpoints=counting
    )
    assert len(recovered.entries) == 3
    assert counting.visits["storage.write.wal"] >= 1
    assert counting.visits["storage.sync.wal"] >= 2
    storage.close()


def test_a_disk_without_room_for_the_next_segment_says_so_before_anything_fails(
    tmp_path: Path,
) -> None:
    storage = open_with(tmp_path, "storage.allocate.wal=enospc@2+")
    assert not storage.has_reserve
    put(storage, entries(1, 5), HardState(1, 0, 0))
    assert storage.failure is None
    error, _ = put_until_failure(storage, 6, 300)
    assert "Make room" in str(error)
    assert storage.failure is None
    storage.close()
    assert open_entries(tmp_path)[:5] == [1, 2, 3, 4, 5]


def test_the_current_segment_is_filled_to_its_end_before_a_full_disk_is_a_failure(
    tmp_path: Path,
) -> None:
    storage = open_with(tmp_path, "storage.allocate.wal=enospc@2+")
    put(storage, entries(1, 1), HardState(1, 0, 0))
    put_until_failure(storage, 2, 40)
    (segment,) = (tmp_path / "wal").glob("*.wal")
    assert len(segment.read_bytes().rstrip(b"\0")) > SEGMENT_BYTES - 200
    storage.close()


def test_a_full_disk_is_a_definite_error_before_any_frame_is_half_written(tmp_path: Path) -> None:
    storage = open_with(tmp_path, "storage.allocate.wal=enospc@2+")
    put(storage, entries(1, 1), HardState(1, 0, 0))
    _, acknowledged = put_until_failure(storage, 2, 700)
    storage.close()
    storage, recovered = Storage.open(tmp_path, CLUSTER, segment_bytes=SEGMENT_BYTES)
    assert len(recovered.entries) >= acknowledged > 2
    assert recovered.repaired is None
    assert storage.has_reserve
    storage.close()


@pytest.mark.parametrize(("place", "visits"), [("allocate.wal", "3"), ("allocate.wal", "234")])
def test_a_frame_larger_than_a_segment_that_finds_no_room_is_written_when_there_is_some(
    tmp_path: Path, place: str, visits: str
) -> None:
    """With a reserve that would have to grow, and without one."""
    storage = open_with(tmp_path, ",".join(f"storage.{place}=enospc@{visit}" for visit in visits))
    put(storage, entries(1, 2), HardState(1, 0, 0))
    large = entries(3, 3, size=3 * SEGMENT_BYTES)
    with pytest.raises(DiskFullError, match=r"no room for a segment of \d+ bytes. Make room"):
        put(storage, large)
    assert (storage.failure, storage.last_index) == (None, 2)
    put(storage, large)
    put(storage, entries(4, 4))
    storage.close()
    assert open_entries(tmp_path) == [1, 2, 3, 4]


def test_the_next_segment_is_filled_a_slice_at_a_time_and_no_further_than_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "FILL_BYTES", SEGMENT_BYTES // 4)
    counting = Counting()
    storage, _ = Storage.open(tmp_path, CLUSTER, segment_bytes=SEGMENT_BYTES, failpoints=counting)
    opened = counting.visits["storage.fill.wal"]
    assert opened == 1, "the rest of the segment in use"
    for number in range(1, 9):
        put(storage, entries(number, number), HardState(1, 0, 0) if number == 1 else None)
    assert counting.visits["storage.fill.wal"] == opened + 4
    storage.close()


def test_without_room_to_fill_the_next_segment_nothing_fails(tmp_path: Path) -> None:
    storage = open_with(tmp_path, "storage.fill.wal=enospc")
    put(storage, entries(1, 30, size=100), HardState(1, 0, 0))
    put(storage, entries(31, 60, size=100))
    assert storage.failure is None
    storage.close()
    assert open_entries(tmp_path) == list(range(1, 61))


def test_a_disk_that_fails_while_the_next_segment_is_filled_has_failed(tmp_path: Path) -> None:
    storage = open_with(tmp_path, "storage.fill.wal=eio@2")
    with pytest.raises(DiskFailedError):
        put(storage, entries(1, 1), HardState(1, 0, 0))
    assert storage.failure is not None
    storage.close()


def test_the_reserve_comes_back_when_there_is_room_again(tmp_path: Path) -> None:
    storage = open_with(tmp_path, "storage.allocate.wal=enospc@2")
    assert not storage.has_reserve
    put(storage, entries(1, 5, size=100), HardState(1, 0, 0))
    put(storage, entries(6, 6, size=100))
    assert storage.has_reserve
    storage.close()


@pytest.mark.parametrize("place", ["create.snap", "allocate.snap", "write.snap", "sync.snap"])
def test_a_disk_too_full_for_a_snapshot_leaves_the_log_working(tmp_path: Path, place: str) -> None:
    """Some file systems tell only when the bytes are written, or synced."""
    storage = open_with(tmp_path, f"storage.{place}=enospc@1,storage.{place}=enospc@1")
    put(storage, entries(1, 5), HardState(1, 0, 0))
    with pytest.raises(DiskFullError, match="no room for a snapshot"):
        storage.save_snapshot(snapshot(3))
    assert os.listdir(tmp_path / "snap") == []
    with pytest.raises(InvariantError, match="not saved"):
        storage.write(None, [], snapshot(3).meta)
    take_snapshot(storage, snapshot(3))
    put(storage, entries(6, 6))
    storage.close()
    assert open_entries(tmp_path) == [4, 5, 6]


def test_what_is_kept_for_a_snapshot_is_given_for_it_and_kept_again(tmp_path: Path) -> None:
    storage = open_with(tmp_path, "storage.allocate.snap=enospc@1")
    assert (tmp_path / "room").stat().st_size == SEGMENT_BYTES // 8
    put(storage, entries(1, 5), HardState(1, 0, 0))
    storage.save_snapshot(snapshot(3))
    assert not (tmp_path / "room").exists()
    storage.write(None, [], snapshot(3).meta)
    storage.sync()
    storage.compact(4)
    assert (tmp_path / "room").exists()
    storage.close()
    assert open_entries(tmp_path) == [4, 5]


def test_the_snapshot_before_the_one_in_force_makes_room_for_a_new_one(tmp_path: Path) -> None:
    storage = open_with(tmp_path, "storage.allocate.snap=enospc@3,storage.allocate.root=enospc")
    put(storage, entries(1, 9), HardState(1, 0, 0))
    for index in (3, 5, 7):
        take_snapshot(storage, snapshot(index))
    assert snapshots.snapshot_name(snapshot(3).meta) not in os.listdir(tmp_path / "snap")
    storage.close()
    assert open_entries(tmp_path) == [8, 9]


@pytest.mark.parametrize("place", ["write.snap", "sync.snap", "rename.snap", "sync_dir.snap"])
def test_a_snapshot_that_fails_half_way_is_final_and_never_in_force(
    tmp_path: Path, place: str
) -> None:
    storage = open_with(tmp_path, f"storage.{place}=eio@1")
    put(storage, entries(1, 5), HardState(1, 0, 0))
    with pytest.raises(DiskFailedError):
        storage.save_snapshot(snapshot(3))
    with pytest.raises(DiskFailedError):
        storage.write(None, entries(6, 6))
    storage.close()
    assert open_entries(tmp_path) == [1, 2, 3, 4, 5]


def test_a_failure_while_opening_is_a_failed_disk_and_gives_the_lock_back(tmp_path: Path) -> None:
    with pytest.raises(DiskFailedError):
        open_with(tmp_path, "storage.sync=eio@1")
    open_with(tmp_path).close()


def test_short_writes_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = open_with(tmp_path)
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: real(fd, bytes(data)[:7], offset))
    put(storage, entries(1, 3, size=100), HardState(1, 0, 0))
    monkeypatch.undo()
    storage.close()
    assert open_entries(tmp_path) == [1, 2, 3]


# -- the failpoints themselves


@pytest.mark.parametrize(
    "text",
    ["storage.sync", "storage.sync=explode", "storage.sync=eio@0", "=eio", "storage.sync=eio@x"],
)
def test_a_failpoint_that_would_never_fire_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="COUNTER_FAILPOINTS"):
        Failpoints(text)


def test_failpoints_fire_at_the_visits_they_name() -> None:
    def codes(text: str) -> list[int]:
        points, result = Failpoints(text), []
        for _ in range(4):
            try:
                points.visit("a.b")
                result.append(0)
            except OSError as error:
                result.append(error.errno or -1)
        return result

    assert codes("a.b=eio@2") == [0, errno.EIO, 0, 0]
    assert codes("a.b=enospc@3+") == [0, 0, errno.ENOSPC, errno.ENOSPC]
    assert codes("a.b=eio") == [errno.EIO] * 4
    assert codes("a.b=delay1,a.b=eio@1,other=eio") == [errno.EIO, 0, 0, 0]


def test_failpoints_are_absent_unless_set() -> None:
    assert Failpoints.from_environment({}) is None
    assert Failpoints.from_environment({"COUNTER_FAILPOINTS": "storage.sync=eio@3"}) is not None


def test_a_killed_process_leaves_what_it_synced(tmp_path: Path) -> None:
    """The environment variable, a real kill -9 after the rename of a segment, and a real
    reopening."""
    program = """
import sys; from pathlib import Path
from counter_node.storage import Storage
from tests.support.unit.storage_files import CLUSTER, SEGMENT_BYTES, HardState, entries, put
storage, _ = Storage.open(Path(sys.argv[1]), CLUSTER, segment_bytes=SEGMENT_BYTES)
put(storage, entries(1, 1), HardState(1, 0, 0))
for index in range(2, 100):
    put(storage, entries(index, index, size=300))
    print(index, flush=True)
"""
    environment = os.environ | {
        "COUNTER_FAILPOINTS": "storage.after_rename.wal=crash@2",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    run = subprocess.run(
        [sys.executable, "-c", program, tmp_path],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == -signal.SIGKILL, run.stderr
    acknowledged = int(run.stdout.split()[-1])
    assert 5 < acknowledged < 99
    assert open_entries(tmp_path)[:acknowledged] == list(range(1, acknowledged + 1))

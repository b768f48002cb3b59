"""Room that is kept on the disk, for when it is full."""

from __future__ import annotations

import errno
from pathlib import Path

from counter_node.storage import Storage
from counter_node.storage.frames import SECTOR_BYTES
from counter_node.storage.segments import segment_name
from counter_node.storage.spare_room import NAME as ROOM

from tests.support.unit.storage_files import (
    DIRECTORY,
    WAL,
    entries,
    entry,
    new_sim,
    put,
    reopen,
    written,
)


def test_a_torn_tail_on_a_full_disk_is_kept_in_the_spare_room() -> None:
    """The node ended with exit code 4 at each start, though room was kept for a day like this."""
    first = WAL / segment_name(1)
    disk, storage = new_sim()
    put(storage, entries(1, 2))
    start = written(disk, first)
    storage.write(None, [entry(3, 1, b"t" * 1900)])
    file, lost = disk.file(first), (start // SECTOR_BYTES + 1) * SECTOR_BYTES
    file.cached[lost : lost + SECTOR_BYTES] = bytes(SECTOR_BYTES)
    file.durable = bytearray(file.cached)
    assert ROOM in disk.list_dir(DIRECTORY)
    create = disk.create

    def full(path: Path) -> int:
        if path.name.startswith("torn-") and ROOM in disk.list_dir(DIRECTORY):
            raise OSError(errno.ENOSPC, "no room")
        return create(path)

    disk.create = full  # type: ignore[method-assign]
    storage, recovered = reopen(disk)
    assert recovered.repaired
    assert recovered.entries == entries(1, 2)
    storage.close()


def next_segment(storage: Storage) -> None:
    last = storage.last_index
    for index in range(last + 1, last + 4):
        put(storage, [entry(index, 9, b"x" * 1_500)])


def test_the_room_grows_with_what_a_flush_would_leave_and_never_shrinks_for_want_of_it() -> None:
    """After FLUSHALL the producers remained, half a MiB in a snapshot, and 256 KiB were kept."""
    disk, storage = new_sim()
    first = len(disk.file(DIRECTORY / ROOM).cached)
    storage.left_bytes = 50_000
    next_segment(storage)
    assert len(disk.file(DIRECTORY / ROOM).cached) == first + 50_000
    storage.left_bytes, allocate = 90_000, disk.allocate

    def full(fd: int, size: int) -> None:
        if size == first + 90_000:
            raise OSError(errno.ENOSPC, "no room")
        allocate(fd, size)

    disk.allocate = full  # type: ignore[method-assign]
    next_segment(storage)
    assert len(disk.file(DIRECTORY / ROOM).cached) == first + 50_000
    disk.allocate = allocate  # type: ignore[method-assign]
    next_segment(storage)
    assert len(disk.file(DIRECTORY / ROOM).cached) == first + 90_000
    storage.close()

"""Writing to a segment that was read back: a torn tail cut, the last frame made durable."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .disk import FULL, Disk, write_file
from .frames import Scan
from .records import SegmentHeader
from .spare_room import SpareRoom


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment as read."""

    header: SegmentHeader
    found: Scan
    data: bytes


def cut(disk: Disk, wal: Path, path: Path, segment: Segment) -> str:
    """Keeps the torn bytes aside, then makes the rest of the segment zero again."""
    offset = segment.found.offset
    torn = segment.data[offset:].rstrip(b"\0")
    stem = f"torn-{segment.header.sequence:016x}-{offset}"
    names = disk.list_dir(wal)
    aside = next(
        wal / f"{stem}-{n}" for n in range(1, len(names) + 2) if f"{stem}-{n}" not in names
    )
    try:
        write_file(disk, aside, torn)
    except OSError as error:
        if error.errno not in FULL or not SpareRoom(disk, wal.parent).give():
            raise
        write_file(disk, aside, torn)  # over what the first attempt left
    overwrite(disk, path, bytes(len(torn)), offset)
    return (
        f"{path}: cut a torn frame of {len(torn)} bytes at offset {offset} "
        f"({segment.found.detail}); "
        f"it was never acknowledged. Its bytes are kept in {aside}"
    )


def settle(disk: Disk, path: Path, segment: Segment) -> None:
    """Makes what was read durable: the last frame is the only one of which that is not certain
    yet."""
    frame = segment.found.frames[-1]
    overwrite(disk, path, segment.data[frame.offset : frame.offset + frame.size], frame.offset)


def overwrite(disk: Disk, path: Path, data: bytes, offset: int) -> None:
    fd = disk.open(path)
    try:
        disk.write(fd, data, offset)
        disk.sync(fd)
    finally:
        disk.close(fd)

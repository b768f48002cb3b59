"""The segments of the log on disk: appending frames, going on to the next segment, deleting old
ones.

    wal/<16 hex digits of the sequence number>.wal    segments, without gaps in their numbers
    wal/next.tmp                                      the next segment, allocated ahead: also the
                                                      reserve for a full disk

The next segment is reserved at once, with `posix_fallocate`, and then filled with zeros a slice at
a time: a sync of frames on blocks that are only reserved takes twice as long
(docs/internals/storage.md). Nothing but speed depends on how far that came.

Going on to the next segment is ordered so that a crash between any two steps leaves one of two
states that recovery can tell from a lost file: (1) the new header goes into `next.tmp`, synced; (2)
the END frame goes into the old segment, synced; (3) `next.tmp` gets its name, the directory is
synced. Until (2) the old segment is the newest one and `next.tmp` is ignored; after (2) `next.tmp`
or its final name must be there with a header that continues the chain."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from .disk import FULL, Disk
from .errors import DiskFullError
from .frames import Kind
from .log_state import LogState
from .records import FORMAT, MAGIC, SegmentEnd, SegmentHeader, Turn, encode

DIRECTORY: Final = "wal"
NEXT: Final = "next.tmp"
SUFFIX: Final = ".wal"

# Room that every segment keeps for its END frame.
END_BYTES: Final = 64
FILL_BYTES: Final = 64 << 10
"""Of the next segment, filled after each sync until it is full: some 30 µs."""


def segment_name(sequence: int) -> str:
    return f"{sequence:016x}{SUFFIX}"


def segment_sequence(name: str) -> int | None:
    """The sequence number in a segment's name; None for any other file."""
    stem = name.removesuffix(SUFFIX)
    if name == stem or len(stem) != 16 or set(stem) - set("0123456789abcdef"):
        return None
    return int(stem, 16)


def new_header(
    cluster_id: str, node_id: int, sequence: int, state: LogState, previous_crc: int
) -> SegmentHeader:
    return SegmentHeader(
        MAGIC,
        FORMAT,
        cluster_id,
        node_id,
        sequence,
        state.hard_state,
        state.snapshot,
        state.last_index,
        state.last_term,
        previous_crc,
    )


def create_next(disk: Disk, wal: Path, size: int) -> int:
    """A fresh `next.tmp`, name and `size` durable, open for writing. On OSError it is removed again
    as far as possible."""
    fd = disk.create(wal / NEXT)
    try:
        disk.allocate(fd, size)
        disk.sync(fd)
        disk.sync_dir(wal)
    except OSError:
        disk.close(fd)
        disk.unlink(wal / NEXT)
        raise
    return fd


def fill(disk: Disk, fd: int, size: int, offset: int) -> None:
    """As far as it goes: what is not filled is as good, but slower."""
    try:
        disk.fill(fd, size, offset)
    except OSError as error:
        if error.errno not in FULL:
            raise


class Segments:
    """The newest segment, open for appending, and its prepared successor. Any method may raise
    OSError, after which the object must not be used again (the caller latches the failure)."""

    def __init__(
        self, disk: Disk, wal: Path, segment_bytes: int, header: SegmentHeader, fd: int,
        capacity: int, offset: int, crc: int,
        oldest: int,
    ) -> None:  # fmt: skip
        self.sequence = header.sequence
        self.oldest = oldest  # sequence number of the oldest segment on disk
        self.has_reserve = False
        self._disk = disk
        self._wal = wal
        self._cluster_id, self._node_id = header.cluster_id, header.node_id
        self._segment_bytes = segment_bytes
        self._fd = fd
        self._capacity = capacity
        self._offset = offset
        self._crc = crc
        self._next_fd: int | None = None
        self._filled = 0  # bytes of the next segment
        self._retry_reserve_at = 0
        self._buffer = bytearray()

    @property
    def segment_bytes(self) -> int:
        return self._segment_bytes

    def append(self, turn: Turn, state: LogState) -> None:
        """Writes one frame, not yet durable, and brings `state` up to date. The frame before it
        must be durable. DiskFullError: not even a segment for it can begin; nothing was written."""
        buffer, crc = encode(turn, Kind.TURN, self._crc, self._buffer)
        if self._offset + len(buffer) + END_BYTES > self._capacity:
            self.rotate(state, len(buffer))
            buffer, crc = encode(turn, Kind.TURN, self._crc, self._buffer)
        state.apply(turn, self.sequence, len(buffer))
        self._disk.write(self._fd, buffer, self._offset)
        self._offset += len(buffer)
        self._crc = crc

    def sync(self) -> None:
        self._disk.sync(self._fd)

    @property
    def descriptor(self) -> int:
        """Of the segment in use."""
        return self._fd

    @property
    def at_ease(self) -> bool:
        """The next segment stands ready and filled, and its time has not come."""
        return self._filled >= self._segment_bytes and not self.wants_rotation

    @property
    def wants_rotation(self) -> bool:
        """True near the end of the segment: going on while nobody waits for room keeps the loop's
        `append` from having to."""
        return self._capacity - self._offset < self._segment_bytes // 8

    def rotate(self, state: LogState, room: int = 0) -> None:
        """Goes on to the next segment, with room for a frame of `room` bytes. All that was appended
        must be durable. DiskFullError: nothing was changed, and it may be called again when there
        is room."""
        sequence = self.sequence + 1
        end, end_crc = encode(SegmentEnd(sequence), Kind.END, self._crc)
        header, crc = encode(
            new_header(self._cluster_id, self._node_id, sequence, state, end_crc), Kind.SEGMENT, 0
        )
        capacity = max(
            self._segment_bytes, len(header) + room + END_BYTES + self._segment_bytes // 4
        )
        try:
            if self._next_fd is None:
                self._next_fd = create_next(self._disk, self._wal, capacity)
            elif capacity > self._segment_bytes:
                self._disk.allocate(self._next_fd, capacity)
        except OSError as error:
            if error.errno not in FULL:
                raise
            raise DiskFullError(
                f"{self._wal}: no room for a segment of {capacity} bytes. Make room on the volume."
            ) from error
        self._disk.write(self._next_fd, header, 0)
        self._disk.sync(self._next_fd)
        self._disk.write(self._fd, end, self._offset)
        self._disk.sync(self._fd)
        self._disk.rename(self._wal / NEXT, self._wal / segment_name(sequence))
        self._disk.sync_dir(self._wal)
        self._disk.close(self._fd)
        self._fd, self._next_fd, self.has_reserve, self._filled = self._next_fd, None, False, 0
        self.sequence, self._capacity, self._offset, self._crc = (
            sequence,
            capacity,
            len(header),
            crc,
        )
        self._retry_reserve_at = 0

    @property
    def room(self) -> int:
        """Bytes that the current segment can still take."""
        return max(0, self._capacity - self._offset - END_BYTES)

    def keep_reserve(self, *, now: bool = False) -> None:
        """Prepares the next segment, and fills a slice of it when it is there. A full disk is no
        failure yet: `has_reserve` stays false, and the attempt is repeated now and then, or with
        `now` at once."""
        if self.has_reserve:
            if self._filled < self._segment_bytes:
                self._fill_slice()
            return
        if self._offset < self._retry_reserve_at and not now:
            return
        try:
            self._next_fd = create_next(self._disk, self._wal, self._segment_bytes)
        except OSError as error:
            if error.errno not in FULL:
                raise
            self._retry_reserve_at = self._offset + self._segment_bytes // 64
        else:
            self.has_reserve = True

    def _fill_slice(self) -> None:
        size = min(FILL_BYTES, self._segment_bytes - self._filled)
        if self._next_fd is not None:
            self._filled += size
            fill(self._disk, self._next_fd, size, self._filled - size)

    def delete_before(self, sequence: int) -> None:
        """Deletes segments, oldest first and each durably, so that a crash leaves no hole in the
        numbers."""
        while self.oldest < min(sequence, self.sequence):
            self._disk.unlink(self._wal / segment_name(self.oldest))
            self._disk.sync_dir(self._wal)
            self.oldest += 1
            self._retry_reserve_at = 0

    def close(self) -> None:
        self._disk.close(self._fd)
        if self._next_fd is not None:
            self._disk.close(self._next_fd)
            self._next_fd = None

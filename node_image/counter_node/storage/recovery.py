"""Reading a data directory back, and deciding what a crash explains and what it does not.

A crash explains: an unfinished creation (no node.json yet), left-over temporary files, snapshots
that the log does not name, an unfinished change of segments, and one torn frame at the very end of
the newest segment. Only these are put right; the torn frame's bytes are kept aside first.
Everything else is damage and is refused (`DamagedError`), with nothing changed.

What was read is not yet durable: after a process died, the page cache may hold what the disk does
not, and after a failed fsync even a new fsync would not tell. So recovery writes the last frame
again and syncs before it reports anything."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from ..raft.types import Entry, HardState, Snapshot, SnapshotMeta
from . import snapshots
from .disk import Disk, write_file
from .errors import DamagedError, InvariantError, StorageError
from .frames import Ending, Frame, Kind, scan
from .log_state import LogState
from .records import FORMAT, MAGIC, SegmentEnd, SegmentHeader, Turn, decode, encode
from .repair import Segment, cut, settle
from .segments import (
    DIRECTORY,
    NEXT,
    Segments,
    create_next,
    fill,
    new_header,
    segment_name,
    segment_sequence,
)

IDENTITY: Final = "node.json"
_EMPTY = LogState(HardState(), None, 0, 0)


@dataclass(frozen=True, slots=True)
class Recovered:
    """What the node was when it last synced, or a little later."""

    node_id: int
    hard_state: HardState
    snapshot: Snapshot | None
    entries: list[Entry]  # those after the snapshot, contiguous
    repaired: str | None  # a torn tail that was cut, and where the cut part was kept
    behind: list[
        Entry
        # those up to the snapshot that are still there, contiguous up to its index; for followers
        # that lack them
    ]


@dataclass(slots=True)
class _Log:
    """What the replay has gathered. `state` is None until the first header was read."""

    state: LogState | None = None
    base: int = 0  # index before entries[0]
    entries: list[Entry] = field(default_factory=list)
    named: set[str] = field(default_factory=set)  # snapshot files that the log names

    def begin(self, header: SegmentHeader) -> None:
        if self.state is None:
            self.state = LogState(
                header.hard_state, header.snapshot, header.last_index, header.last_term
            )
            self.base = header.last_index
        if header.snapshot is not None:
            self.named.add(snapshots.snapshot_name(header.snapshot))

    def take(self, turn: Turn, segment: int, size: int) -> None:
        assert self.state is not None
        self.state.apply(turn, segment, size)
        if turn.snapshot is not None:
            self._take_snapshot(turn.snapshot, turn.restart)
        if turn.entries:
            first = turn.entries[0].index
            del self.entries[max(0, first - self.base - 1) :]
            self.base = min(self.base, first - 1)
            self.entries.extend(turn.entries)

    def _take_snapshot(self, meta: SnapshotMeta, restart: bool) -> None:
        self.named.add(snapshots.snapshot_name(meta))
        if restart:
            self.entries.clear()
            self.base = meta.index


def open_directory(
    disk: Disk,
    directory: Path,
    cluster_id: str,
    node_id_source: Callable[[], int],
    segment_bytes: int,
) -> tuple[Segments, LogState, Recovered]:
    """Reads the directory, or creates it when it is new, and leaves it ready for appending. The
    caller holds the lock."""
    wal = directory / DIRECTORY
    for path in (wal, directory / snapshots.DIRECTORY):
        disk.make_dir(path)
    node_id = _read_identity(disk, directory, cluster_id)
    if node_id is None:
        node_id = _create(disk, directory, cluster_id, node_id_source, segment_bytes)
    disk.sync_dir(directory)
    return _recover(disk, directory, cluster_id, node_id, segment_bytes)


def _read_identity(disk: Disk, directory: Path, cluster_id: str) -> int | None:
    """The node id, or None when the directory is new."""
    path = directory / IDENTITY
    try:
        text = disk.read(path)
    except FileNotFoundError:
        left = [n for n in disk.list_dir(directory / DIRECTORY) if n != NEXT] + disk.list_dir(
            directory / snapshots.DIRECTORY
        )
        if left:
            raise DamagedError(path, f"missing, although there is a log ({left[0]})") from None
        return None
    try:
        identity = json.loads(text)
        found_format, found_cluster, node_id = (
            identity["format"],
            identity["clusterId"],
            int(identity["nodeId"], 16),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedError(path, f"not readable ({type(error).__name__}: {error})") from None
    if found_format != FORMAT:
        raise StorageError(
            f"{path}: format {found_format}; this program reads {FORMAT}. Use the program that "
            f"wrote it."
        )
    if found_cluster != cluster_id:
        raise DamagedError(path, f"belongs to cluster {found_cluster!r}, expected {cluster_id!r}")
    return node_id


def _create(
    disk: Disk,
    directory: Path,
    cluster_id: str,
    node_id_source: Callable[[], int],
    segment_bytes: int,
) -> int:
    """Makes a new member. node.json is the last thing written, so that a node id is either unused
    or has a log; the first segment gets its name afterwards, in the same way as after any
    unfinished change of segments."""
    node_id = node_id_source()
    if not 0 < node_id < 1 << 63:
        raise ValueError(f"node id {node_id} is not in 1..2^63-1")
    wal = directory / DIRECTORY
    fd = create_next(disk, wal, segment_bytes)
    header, _ = encode(new_header(cluster_id, node_id, 1, _EMPTY, 0), Kind.SEGMENT, 0)
    disk.write(fd, header, 0)
    disk.sync(fd)
    disk.close(fd)
    disk.sync_dir(directory)
    disk.sync_dir(directory.parent)
    identity = {"format": FORMAT, "nodeId": f"{node_id:016x}", "clusterId": cluster_id}
    write_file(disk, directory / IDENTITY, (json.dumps(identity) + "\n").encode())
    return node_id


@dataclass(frozen=True, slots=True)
class Findings:
    """What a directory holds; reading it has changed nothing."""

    oldest: int  # sequence number of the oldest segment
    newest: Segment
    closed: Segment | None  # the segment before, when the newest one still has to be given its name
    state: LogState
    snapshot: Snapshot | None
    entries: list[Entry]
    behind: list[Entry]
    named: set[str]  # snapshot files that the log names

    @property
    def torn(self) -> bool:
        return self.newest.found.ending is Ending.TORN


def read_directory(disk: Disk, directory: Path, cluster_id: str, node_id: int) -> Findings:
    """Reads and checks everything, and changes nothing. Raises DamagedError."""
    wal = directory / DIRECTORY
    numbers = _segment_numbers(disk, wal)
    log = _Log()
    newest: Segment | None = None
    closed: Segment | None = None
    for number in numbers:
        newest = _replay(disk, wal, number, number == numbers[-1], cluster_id, node_id, log, newest)
    if newest is None or newest.found.ending is Ending.CLOSED:
        closed, newest = newest, _read_successor(disk, wal, cluster_id, node_id, log, newest)
        numbers.append(newest.header.sequence)
    state = log.state
    assert state is not None
    snapshot = _load_snapshot(disk, directory, cluster_id, log, state)
    behind = max(0, (snapshot.meta.index if snapshot is not None else 0) - log.base)
    return Findings(
        numbers[0],
        newest,
        closed,
        state,
        snapshot,
        log.entries[behind:],
        log.entries[:behind],
        log.named,
    )


def _recover(
    disk: Disk, directory: Path, cluster_id: str, node_id: int, segment_bytes: int
) -> tuple[Segments, LogState, Recovered]:
    """Puts right what a crash left, once all of it was found to be a crash's doing."""
    wal = directory / DIRECTORY
    found = read_directory(disk, directory, cluster_id, node_id)
    newest = found.newest
    path = wal / segment_name(newest.header.sequence)
    if not _exists(disk, path):
        if found.closed is not None:
            settle(disk, wal / segment_name(found.closed.header.sequence), found.closed)
        disk.rename(wal / NEXT, path)
    repaired = cut(disk, wal, path, newest) if found.torn else None
    settle(disk, path, newest)
    disk.sync_dir(wal)
    snapshots.delete_others(disk, directory / snapshots.DIRECTORY, found.named, (".snap", ".tmp"))
    if _exists(disk, wal / NEXT):
        disk.unlink(wal / NEXT)
    scanned = newest.found
    fd = disk.open(path)
    fill(disk, fd, len(newest.data) - scanned.offset, scanned.offset)
    segments = Segments(
        disk,
        wal,
        segment_bytes,
        newest.header,
        fd,
        len(newest.data),
        scanned.offset,
        scanned.frames[-1].crc,
        found.oldest,
    )
    segments.keep_reserve()
    return (
        segments,
        found.state,
        Recovered(
            node_id, found.state.hard_state, found.snapshot, found.entries, repaired, found.behind
        ),
    )


def _exists(disk: Disk, path: Path) -> bool:
    return path.name in disk.list_dir(path.parent)


def _segment_numbers(disk: Disk, wal: Path) -> list[int]:
    numbers = sorted(n for n in map(segment_sequence, disk.list_dir(wal)) if n is not None)
    for expected, number in enumerate(numbers, numbers[0] if numbers else 1):
        if number != expected:
            raise DamagedError(wal / segment_name(expected), "missing")
    return numbers


def _replay(
    disk: Disk, wal: Path, number: int, newest: bool, cluster_id: str, node_id: int, log: _Log,
    previous: Segment | None,
) -> Segment:  # fmt: skip
    """Takes one segment into the log."""
    path = wal / segment_name(number)
    data = disk.read(path)
    found = scan(data)
    if found.ending is Ending.DAMAGED or not found.frames:
        raise DamagedError(path, f"at offset {found.offset}: {found.detail or 'no segment header'}")
    if not newest and found.ending is not Ending.CLOSED:
        detail = found.detail or "the segment has no END frame, but there is a newer one"
        raise DamagedError(path, f"at offset {found.offset}: {detail}")
    header = _check_header(path, found.frames[0], number, cluster_id, node_id)
    if previous is not None:
        _check_follows(path, header, previous, log)
    log.begin(header)
    for frame in found.frames[1:]:
        record = _decode(path, frame)
        try:
            if isinstance(record, Turn):
                log.take(record, number, frame.size)
            elif not isinstance(record, SegmentEnd) or record.next_sequence != number + 1:
                raise DamagedError(
                    path, f"at offset {frame.offset}: {type(record).__name__} where a turn is due"
                )
        except InvariantError as error:
            raise DamagedError(path, f"at offset {frame.offset}: {error}") from None
    return Segment(header, found, data)


def _decode(path: Path, frame: Frame) -> SegmentHeader | Turn | SegmentEnd:
    try:
        return decode(frame.kind, frame.payload)
    except msgspec.DecodeError as error:
        raise DamagedError(path, f"at offset {frame.offset}: {error}") from None


def _check_header(
    path: Path, frame: Frame, number: int, cluster_id: str, node_id: int
) -> SegmentHeader:
    header = _decode(path, frame)
    if not isinstance(header, SegmentHeader) or header.magic != MAGIC:
        raise DamagedError(path, "at offset 0: not a segment of the log")
    if header.format > FORMAT:
        raise StorageError(
            f"{path}: format {header.format}; this program reads up to {FORMAT}. Use a newer one."
        )
    found = (header.cluster_id, f"{header.node_id:016x}", header.sequence)
    expected = (cluster_id, f"{node_id:016x}", number)
    if found != expected:
        raise DamagedError(
            path, f"at offset 0: (cluster id, node id, sequence) is {found}, expected {expected}"
        )
    return header


def _check_follows(path: Path, header: SegmentHeader, previous: Segment, log: _Log) -> None:
    crc = previous.found.frames[-1].crc
    if header.previous_crc != crc:
        raise DamagedError(
            path,
            f"at offset 0: follows CRC-32C {header.previous_crc:08x}, the segment before ends "
            f"with {crc:08x}",
        )
    state = log.state
    assert state is not None
    carried = (header.hard_state, header.snapshot, header.last_index, header.last_term)
    if carried != (state.hard_state, state.snapshot, state.last_index, state.last_term):
        raise DamagedError(
            path,
            f"at offset 0: the header's state {carried} is not the one that the segment before "
            f"leaves",
        )


def _read_successor(
    disk: Disk, wal: Path, cluster_id: str, node_id: int, log: _Log, previous: Segment | None
) -> Segment:
    """The newest segment is closed (or there is none yet): its successor must stand ready in
    `next.tmp`, or it was lost."""
    number = previous.header.sequence + 1 if previous else 1
    data = disk.read(wal / NEXT) if _exists(disk, wal / NEXT) else b""
    found = scan(data)
    if found.ending is not Ending.CLEAN or len(found.frames) != 1:
        raise DamagedError(wal / segment_name(number), "missing")
    header = _check_header(wal / NEXT, found.frames[0], number, cluster_id, node_id)
    if previous is not None:
        _check_follows(wal / NEXT, header, previous, log)
    log.begin(header)
    return Segment(header, found, data)


def _load_snapshot(
    disk: Disk, directory: Path, cluster_id: str, log: _Log, state: LogState
) -> Snapshot | None:
    covered = state.snapshot.index if state.snapshot else 0
    if log.base > covered:
        raise DamagedError(
            directory / DIRECTORY,
            f"entries {covered + 1}..{log.base} are missing: a segment was removed",
        )
    if state.snapshot is None:
        return None
    return snapshots.load(disk, directory / snapshots.DIRECTORY, cluster_id, state.snapshot)

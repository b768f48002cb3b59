"""Prints a data directory for humans: segments, frames, entries, snapshots, and a verdict. Reads
only, takes no lock.

On a directory in use, the newest frame may look torn: it is being written.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec

from ..raft.types import HardState, SnapshotMeta
from . import segments, snapshots
from .disk import Disk
from .errors import StorageError
from .frames import Ending, Frame, scan
from .records import SegmentEnd, SegmentHeader, Turn, decode
from .recovery import IDENTITY, read_directory

OK, DAMAGED = 0, 3


def inspect(directory: Path, disk: Disk | None = None) -> Iterator[str]:
    """The report, line by line. The last line is the verdict: it begins with `usable`, `torn` or
    `DAMAGED`."""
    disk = Disk() if disk is None else disk
    identity: dict[str, str] = {}
    try:
        identity = json.loads(disk.read(directory / IDENTITY))
        yield f"{IDENTITY}: {json.dumps(identity)}"
    except (OSError, ValueError) as error:
        yield f"{IDENTITY}: DAMAGED: {error}"
    wal = directory / segments.DIRECTORY
    for name in disk.list_dir(wal):
        yield from _segment(name, disk.read(wal / name))
    for name in disk.list_dir(directory / snapshots.DIRECTORY):
        yield _snapshot(disk, directory / snapshots.DIRECTORY / name)
    yield _verdict(disk, directory, identity)


def _verdict(disk: Disk, directory: Path, identity: dict[str, str]) -> str:
    """What opening this directory would do."""
    try:
        found = read_directory(disk, directory, identity["clusterId"], int(identity["nodeId"], 16))
    except (KeyError, TypeError, ValueError):
        return f"DAMAGED: no usable {IDENTITY}"
    except (StorageError, OSError) as error:
        return f"DAMAGED: {error}"
    state = found.state
    summary = (
        f"{_hard_state(state.hard_state)}, {_position(state.snapshot)}, "
        f"{len(found.entries)} entries after it, log ends at {state.last_index}"
    )
    if found.torn:
        return (
            f"torn: the last frame was cut off by a crash; the next start keeps it aside. {summary}"
        )
    return f"usable: {summary}"


def _segment(name: str, data: bytes) -> Iterator[str]:
    yield f"{segments.DIRECTORY}/{name}: {len(data)} bytes"
    if segments.segment_sequence(name) is None and name != segments.NEXT:
        return
    found = scan(data)
    for frame in found.frames:
        yield from _frame(frame)
    match found.ending:
        case Ending.DAMAGED | Ending.TORN:
            label = found.ending.value if found.ending is Ending.TORN else "DAMAGED"
            yield f"  @{found.offset:<9} {label}: {found.detail}"
        case _:
            yield (
                f"  @{found.offset:<9} {found.ending.value}, {len(data) - found.offset} bytes free"
            )


def _frame(frame: Frame) -> Iterator[str]:
    start = f"  @{frame.offset:<9} {frame.size:>8} bytes  crc {frame.crc:08x}  "
    try:
        record = decode(frame.kind, frame.payload)
    except msgspec.DecodeError as error:
        yield f"{start}DAMAGED: {error}"
        return
    match record:
        case SegmentHeader():
            yield (
                f"{start}segment {record.sequence}, format {record.format}, cluster "
                f"{record.cluster_id}, node {record.node_id:016x}, "
                f"{_hard_state(record.hard_state)}, {_position(record.snapshot)}, "
                f"log ends at {record.last_index} of term {record.last_term}, follows crc "
                f"{record.previous_crc:08x}"
            )
        case SegmentEnd():
            yield (
                f"{start}end of segment, continued in {segments.segment_name(record.next_sequence)}"
            )
        case Turn():
            yield start + _turn(record)
            for entry in record.entries:
                yield (
                    f"      entry {entry.index} term {entry.term} {entry.kind.name} "
                    f"{len(entry.data)} bytes"
                )


def _turn(turn: Turn) -> str:
    parts = ["turn"]
    if turn.snapshot is not None:
        parts.append(
            _position(turn.snapshot)
            + (" and the log starts again after it" if turn.restart else "")
        )
    if turn.hard_state is not None:
        parts.append(_hard_state(turn.hard_state))
    if turn.entries:
        parts.append(f"entries {turn.entries[0].index}..{turn.entries[-1].index}")
    return ", ".join(parts)


def _hard_state(state: HardState) -> str:
    return f"term {state.term} vote {state.vote:016x} commit {state.commit}"


def _position(meta: SnapshotMeta | None) -> str:
    return "no snapshot" if meta is None else f"snapshot at {meta.index} of term {meta.term}"


def _snapshot(disk: Disk, path: Path) -> str:
    name = f"{snapshots.DIRECTORY}/{path.name}"
    try:
        cluster_id, snapshot = snapshots.parse(path, disk.read(path))
    except (StorageError, OSError) as error:
        return f"{name}: DAMAGED: {error}"
    members = ", ".join(
        f"{m.name}={m.id:016x}{'' if m.voter else ' (learner)'}"
        for m in snapshot.meta.membership.members
    )
    return (
        f"{name}: {_position(snapshot.meta)}, cluster {cluster_id}, state "
        f"{len(snapshot.state)} bytes, members [{members}]"
    )

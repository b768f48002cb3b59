"""Snapshot files: `snap/<index>-<term>.snap`, index and term in 16 hex digits each.

A file holds a fixed header (magic, CRC-32C of all that follows, lengths), a MessagePack header
(format, cluster id, position and membership) and the state. It is written under a temporary name,
synced, renamed, and the directory synced; it counts only once a frame of the log that names it is
durable. So a file that the log does not name is left over from a crash, and is deleted."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
from crc32c import crc32c

from ..raft.types import Snapshot, SnapshotMeta
from .disk import FULL, Disk
from .errors import DamagedError, DiskFullError, StorageError

DIRECTORY: Final = "snap"
FORMAT: Final = 1
_MAGIC: Final = b"CCsnap\0\1"
_FIXED = struct.Struct(
    "<8sIIQ"
)  # magic, CRC of the rest, length of the header, length of the state
_CRC_FROM = 12
# Written and synced in pieces, so that the log's own syncs do not queue behind all of it.
_PIECE_BYTES = 4 << 20


class _Header(msgspec.Struct, array_like=True, frozen=True):
    format: int
    cluster_id: str
    meta: SnapshotMeta


def snapshot_name(meta: SnapshotMeta) -> str:
    return f"{meta.index:016x}-{meta.term:016x}.snap"


def save(
    disk: Disk, directory: Path, cluster_id: str, snapshot: Snapshot, pieces: Sequence[bytes] = ()
) -> None:
    """Makes the snapshot durable under its name, all or nothing. DiskFullError: nothing was stored.
    `pieces`: the state, where it was made so; to put hundreds of MiB together would hold the
    interpreter."""
    state = pieces or (snapshot.state,)
    size = sum(map(len, state))
    header = msgspec.msgpack.encode(_Header(FORMAT, cluster_id, snapshot.meta))
    fixed = bytearray(_FIXED.pack(_MAGIC, 0, len(header), size))
    crc = crc32c(header, crc32c(fixed[_CRC_FROM:]))
    for piece in state:
        crc = crc32c(piece, crc)
    fixed[8:12] = crc.to_bytes(4, "little")
    prefix = bytes(fixed) + header
    temporary = directory / (snapshot_name(snapshot.meta) + ".tmp")
    try:
        _write(disk, temporary, prefix, state, size)
    except OSError as error:
        if error.errno not in FULL:
            raise
        with contextlib.suppress(FileNotFoundError):
            disk.unlink(temporary)
        raise DiskFullError(
            f"{temporary}: no room for a snapshot of {len(prefix) + size} bytes. Make room on "
            f"the volume."
        ) from error
    disk.rename(temporary, directory / snapshot_name(snapshot.meta))
    disk.sync_dir(directory)


def _write(disk: Disk, path: Path, prefix: bytes, state: Sequence[bytes], size: int) -> None:
    """The room for the whole file is taken first: a full disk is found out before anything is
    written, where the file system can tell."""
    fd = disk.create(path)
    try:
        disk.allocate(fd, len(prefix) + size)
        disk.write(fd, prefix, 0)
        at, synced = len(prefix), 0
        for piece in state:
            with memoryview(piece) as view:
                for start in range(0, len(view), _PIECE_BYTES):
                    part = view[start : start + _PIECE_BYTES]
                    disk.write(fd, part, at)
                    at += len(part)
                    if at - synced >= _PIECE_BYTES:
                        disk.sync(fd)
                        synced = at
        disk.sync(fd)
    finally:
        disk.close(fd)


def load(disk: Disk, directory: Path, cluster_id: str, meta: SnapshotMeta) -> Snapshot:
    """Reads the snapshot that the log names. Anything but exactly that one is damage."""
    path = directory / snapshot_name(meta)
    try:
        data = disk.read(path)
    except FileNotFoundError:
        raise DamagedError(path, "the snapshot that the log names is missing") from None
    found_cluster, snapshot = parse(path, data)
    if (found_cluster, snapshot.meta) != (cluster_id, meta):
        raise DamagedError(
            path,
            f"at offset {_FIXED.size}: holds {snapshot.meta} of {found_cluster!r}, the log names "
            f"{meta} of {cluster_id!r}",
        )
    return snapshot


class Reader:
    """An open snapshot, for reading its state piece by piece; it stays readable when the file is
    deleted meanwhile. Raises DamagedError."""

    def __init__(self, disk: Disk, directory: Path, meta: SnapshotMeta) -> None:
        path = directory / snapshot_name(meta)
        self._disk = disk
        self._fd = disk.open(path)
        try:
            fixed = disk.read_at(self._fd, _FIXED.size, 0)
            if len(fixed) < _FIXED.size or fixed[:8] != _MAGIC:
                raise DamagedError(path, "at offset 0: not a snapshot file")
            _, expected, header_bytes, self.size = _FIXED.unpack(fixed)
            self._start = _FIXED.size + header_bytes
            crc = crc32c(fixed[_CRC_FROM:])
            for offset in range(_FIXED.size, self._start + self.size, _PIECE_BYTES):
                size = min(_PIECE_BYTES, self._start + self.size - offset)
                crc = crc32c(disk.read_at(self._fd, size, offset), crc)
            if crc != expected:
                raise DamagedError(
                    path, f"at offset 8: CRC-32C is {crc:08x}, expected {expected:08x}"
                )
        except BaseException:
            self.close()
            raise

    def piece(self, offset: int, size: int) -> tuple[bytes, bool]:
        """Bytes of the state from `offset` on, at most `size`; and whether they end it."""
        data = self._disk.read_at(
            self._fd, max(0, min(size, self.size - offset)), self._start + offset
        )
        return data, offset + len(data) >= self.size

    def close(self) -> None:
        self._disk.close(self._fd)


def parse(path: Path, data: bytes) -> tuple[str, Snapshot]:
    """Cluster id and snapshot in a file's bytes."""
    if len(data) < _FIXED.size or data[:8] != _MAGIC:
        raise DamagedError(path, f"at offset 0: not a snapshot file ({len(data)} bytes)")
    _, crc, header_bytes, state_bytes = _FIXED.unpack_from(data)
    if len(data) != _FIXED.size + header_bytes + state_bytes:
        expected = _FIXED.size + header_bytes + state_bytes
        raise DamagedError(path, f"at offset 12: {len(data)} bytes long, expected {expected}")
    with memoryview(data) as view:
        computed = crc32c(view[_CRC_FROM:])
    if computed != crc:
        raise DamagedError(path, f"at offset 8: CRC-32C is {computed:08x}, expected {crc:08x}")
    try:
        header = msgspec.msgpack.decode(
            data[_FIXED.size : _FIXED.size + header_bytes], type=_Header
        )
    except msgspec.DecodeError as error:
        raise DamagedError(path, f"at offset {_FIXED.size}: {error}") from None
    if header.format > FORMAT:
        raise StorageError(
            f"{path}: format {header.format}; this program reads up to {FORMAT}. Use a newer one."
        )
    return header.cluster_id, Snapshot(header.meta, data[_FIXED.size + header_bytes :])


def delete_others(
    disk: Disk, directory: Path, keep: set[str], suffixes: tuple[str, ...] = (".snap",)
) -> None:
    """Deletes every file with one of the suffixes but those named."""
    others = [
        name for name in disk.list_dir(directory) if name.endswith(suffixes) and name not in keep
    ]
    for name in others:
        disk.unlink(directory / name)
    if others:
        disk.sync_dir(directory)

"""Reads the pieces of snapshots that other members ask for, on a thread; the file is opened and
checked once."""

from __future__ import annotations

import asyncio

import msgspec

from counter_node.raft.messages import InstallSnapshot
from counter_node.raft.types import SnapshotMeta
from counter_node.storage import Storage
from counter_node.storage.snapshots import Reader

PIECE_BYTES = 256 << 10
MAX_OPEN = 2
"""The newest snapshot, and the one before it for a member that is in the middle of it."""


class SnapshotSender:
    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._open: dict[SnapshotMeta, Reader] = {}
        self._lock = asyncio.Lock()

    async def fill(self, message: InstallSnapshot) -> InstallSnapshot:
        """`message` with its piece of the file. Raises StorageError when the snapshot is gone."""
        async with self._lock:
            reader = self._open.get(message.meta)
            if reader is None:
                reader = await asyncio.to_thread(self._storage.open_snapshot, message.meta)
                while len(self._open) >= MAX_OPEN:
                    self._open.pop(next(iter(self._open))).close()
                self._open[message.meta] = reader
            data, last = await asyncio.to_thread(reader.piece, message.offset, PIECE_BYTES)
            return msgspec.structs.replace(message, data=data, last=last)

    def close(self) -> None:
        for reader in self._open.values():
            reader.close()
        self._open.clear()

"""A snapshot that arrives from a leader in pieces. Nothing of it is used before it is whole and
saved.

A piece belongs to the ones before it when sender, term and snapshot are the same: then it is one
and the same file."""

from __future__ import annotations

from typing import cast

from counter_node.raft.messages import InstallSnapshot
from counter_node.raft.types import NodeId, SnapshotMeta


class IncomingSnapshot:
    def __init__(self) -> None:
        self._stream: tuple[NodeId, int, SnapshotMeta] | None = None
        self._pieces = bytearray()

    @property
    def received(self) -> int:
        """Bytes: where the sender is to go on."""
        return len(self._pieces)

    def takes(self, sender: NodeId, m: InstallSnapshot) -> bool:
        """True when the snapshot is complete. A piece that does not follow what is here is left
        out."""
        stream = (sender, m.term, m.meta)
        if stream != self._stream:
            self._stream, self._pieces = stream, bytearray()
        if m.offset != len(self._pieces):
            return False
        self._pieces += m.data
        return m.last

    def whole(self) -> bytes:
        """Its content, given away. Whoever gets it only reads: a copy of hundreds of MiB would take
        its time."""
        pieces = self._pieces
        self.forget()
        return cast("bytes", pieces)

    def forget(self) -> None:
        self._stream, self._pieces = None, bytearray()

"""What a full disk can still take. Pure.

Without the reserve of one segment a node refuses its clients' writes, hands leadership away
(node/), and takes what others send only as long as it fits into the current segment, so that no
write ever fails. The last eighth of the segment is kept for terms and votes, and half of that for
what makes the state smaller (relief.py): the node stays a voter that answers, and catches up when
there is room.

    plain       bytes for any entry; None: the disk is not full
    relief      more bytes, for what makes the state smaller
      of these: half that log time leaves alone
                the last eighth, that a leader leaves to what empties the state

What the other members can take is in group_room.py."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from counter_node.counters import batches
from counter_node.raft.messages import Append
from counter_node.raft.types import Entry
from counter_node.replica.relief import LAST_PART, Relief, entry_shrinks

ENTRY_BYTES: Final = 64
"""At most what an entry takes on the disk beyond its data."""


def body_on_disk(body: bytes) -> int:
    """Bytes of the entry that it becomes, at most."""
    return batches.TIME_BYTES + len(body) + ENTRY_BYTES


def on_disk(entries: Iterable[Entry]) -> int:
    """Bytes, at most."""
    return sum(len(entry.data) + ENTRY_BYTES for entry in entries)


class DiskRoom:
    def __init__(self, now: Callable[[], tuple[int, int]]) -> None:
        """`now`: log time and the calendar's, ms, as far as what is applied says."""
        self.plain: int | None = None
        self._relief = 0
        self._kept = [0] * len(Relief)  # of `_relief`, for what is of more use
        self._now = now

    @property
    def full(self) -> bool:
        return self.plain is not None

    def set(self, plain: int | None, relief: int, on_its_way: Iterable[Entry]) -> None:
        """What the disk can take, less what is not written yet. `plain` may be below 0: then some
        of `relief` was used."""
        self._kept[Relief.TICK], self._kept[Relief.SMALLER] = relief // 2, relief // LAST_PART
        if plain is not None:
            left = plain + relief - on_disk(on_its_way)
            plain, relief = max(0, left - relief), max(0, min(relief, left))
        self.plain, self._relief = plain, relief

    def of(self, relief: Relief) -> int:
        """Bytes for an entry that is of so much use."""
        if self.plain is None:
            return sys.maxsize
        if relief is Relief.NONE:
            return self.plain
        return self.plain + max(0, self._relief - self._kept[relief])

    def take(self, size: int) -> None:
        if self.plain is not None:
            beyond = max(0, size - self.plain)
            self.plain -= size - beyond
            self._relief -= beyond

    def admitted(self, message: Append) -> Append | None:
        """As many of the entries of others as there is room for, which they take then. The rest was
        lost on the way, as far as Raft is concerned. (A snapshot that finds no room is refused when
        its file is written.)"""
        taken = 0
        for entry in message.entries:
            size = on_disk([entry]) + (0 if taken else ENTRY_BYTES)
            if size > self.of(Relief.NONE) and (
                size > self.of(Relief.EMPTY) or not entry_shrinks(entry, *self._now())
            ):
                break
            self.take(size)
            taken += 1
        if taken == len(message.entries):
            return message
        return msgspec.structs.replace(message, entries=message.entries[:taken]) if taken else None

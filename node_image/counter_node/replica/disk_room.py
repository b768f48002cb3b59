"""What a full disk can still take. Pure.

Without the reserve of one segment a node refuses its clients' writes, hands leadership away
(node/), and takes what others send only as long as it fits into the current segment, so that no
write ever fails. The last eighth of the segment is kept for terms and votes, and half of that for
what makes the state smaller (relief.py): the node stays a voter that answers, and catches up when
there is room.

    plain       bytes for any entry; None: the disk is not full
    relief      bytes besides, for what makes the state smaller
      of these: half that log time leaves alone
                the last eighth, that a leader leaves to what empties the state
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Final

from counter_node.raft.messages import Append, Message
from counter_node.raft.types import Entry
from counter_node.replica.relief import LAST_PART, Relief, entries_shrink, relief_of

ENTRY_BYTES: Final = 64
"""At most what an entry takes on the disk beyond its data."""
TICK_BYTES: Final = 128
"""On the disk, at most."""


def on_disk(entries: Iterable[Entry]) -> int:
    """Bytes, at most."""
    return sum(len(entry.data) + ENTRY_BYTES for entry in entries)


class DiskRoom:
    def __init__(self, now: Callable[[], tuple[int, int]]) -> None:
        """`now`: log time and the calendar's, ms, as far as what is applied says."""
        self.plain: int | None = None
        self._relief = self._for_ticks = self._last = 0
        self.now = now

    @property
    def full(self) -> bool:
        return self.plain is not None

    def set(self, plain: int | None, relief: int, on_its_way: Iterable[Entry]) -> None:
        """What the disk can take, less what is not written yet. `plain` may be below 0: then some
        of `relief` was used."""
        self._for_ticks, self._last = relief // 2, relief // LAST_PART
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
        return self.plain + self._relief - (self._last if relief is Relief.SMALLER else 0)

    def take(self, size: int) -> None:
        if self.plain is not None:
            beyond = max(0, size - self.plain)
            self.plain -= size - beyond
            self._relief -= beyond

    def has_for(self, body: bytes) -> bool:
        """A leader's, of the entry of this body. It is decoded only when it would not fit
        otherwise."""
        size = len(body) + ENTRY_BYTES
        return size <= self.of(Relief.NONE) or (
            size <= self.of(Relief.EMPTY) and size <= self.of(relief_of(body, *self.now()))
        )

    def has_for_tick(self) -> bool:
        """Ticks leave half of the relief to deletions: counters expire late rather than that
        nothing can be deleted after some hours of ticks."""
        return self.of(Relief.EMPTY) - TICK_BYTES >= self._for_ticks

    def admits(self, message: Message) -> bool:
        """Whether a message of others is taken; its entries take their room then. One that is
        dropped was lost on the way, as far as Raft is concerned."""
        if not isinstance(message, Append) or not message.entries:
            return True  # a snapshot that finds no room is refused when its file is written
        size = ENTRY_BYTES + on_disk(message.entries)
        if size > self.of(Relief.NONE) and (
            size > self.of(Relief.EMPTY) or not entries_shrink(message.entries, *self.now())
        ):
            return False
        self.take(size)
        return True

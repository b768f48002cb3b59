"""One budget for everything that clients can make this node hold: commands that are not whole, not
answered or not worked off, replies that are not read, MULTI queues, WATCH tables, buffers of TLS.

1. Each connection is weighed when it changes. All together may hold `limit`, and strangers
   (connections that have not logged in) a small share of that.
2. Past it the heaviest connection is cut, and of those that are as heavy the oldest: an honest
   client holds little, and for a moment. It is the one way in which a node ends a connection by
   itself whose write is not answered.
3. The limit is an eighth of the memory that the process may use, where it is known (memory.py), so
   that state, snapshots and the interpreter have the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

Holder = TypeVar("Holder")

STRANGERS_PART: Final = 8
"""Strangers may hold the eighth part."""
AGAIN_AT_ONCE: Final = 500
"""Connections weighed again in one tick: a client that reads tells nobody."""


class Holdings(Generic[Holder]):
    def __init__(self, limit: int, cut: Callable[[Holder], None]) -> None:
        """`cut` ends a connection; it comes back to `gone`, at once or later."""
        self.limit, self._cut = limit, cut
        self.total = 0
        self._known: dict[Holder, int] = {}
        self._strangers: dict[Holder, int] = {}
        self._of_strangers = 0

    def weigh(self, holder: Holder, held: int, *, stranger: bool) -> None:
        self._forget(holder)
        if not held:
            return
        self.total += held
        if stranger:
            self._strangers[holder] = held
            self._of_strangers += held
            while self._of_strangers > self.limit // STRANGERS_PART:
                self._cut_heaviest(self._strangers)
        else:
            self._known[holder] = held
        while self.total > self.limit:
            self._cut_heaviest(self._known or self._strangers)

    def gone(self, holder: Holder) -> None:
        self._forget(holder)

    def heaviest(self) -> list[Holder]:
        """Some that hold something, others at each call, to be weighed again."""
        found = [
            h
            for table in (self._known, self._strangers)
            for h, _ in zip(table, range(AGAIN_AT_ONCE), strict=False)
        ]
        for table in (self._known, self._strangers):
            for holder in found:
                if holder in table:
                    table[holder] = table.pop(holder)  # to the end
        return found

    def _forget(self, holder: Holder) -> None:
        if (held := self._known.pop(holder, None)) is not None:
            self.total -= held
        elif (held := self._strangers.pop(holder, None)) is not None:
            self.total -= held
            self._of_strangers -= held

    def _cut_heaviest(self, table: dict[Holder, int]) -> None:
        heaviest = max(table, key=table.__getitem__)
        self._forget(heaviest)
        self._cut(heaviest)

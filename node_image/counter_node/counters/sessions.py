"""Sessions of gateways: which numbered batch of each was executed last.

    A batch is executed if, and only if, its session is known and its number follows the last one.

A session's name is the index of the entry that opened it, so it is never given twice, and a session
that is gone never comes back: a batch of it is refused for ever. A session is forgotten after
`TTL_MS` of log time without a batch, or when there are too many, the one idle longest first."""

from __future__ import annotations

from typing import Final

from counter_node.counters.batches import OutcomeKind

TTL_MS: Final = 3_600_000
MOST: Final = 10_000


class Sessions:
    def __init__(self) -> None:
        self._table: dict[
            int, tuple[int, int]
        ] = {}  # session → (last number, log time of it), idle longest first
        self.due_ms = 0  # before this nobody can be forgotten

    def __len__(self) -> int:
        return len(self._table)

    def open(self, session: int, time_ms: int) -> None:
        while len(self._table) >= MOST:
            del self._table[next(iter(self._table))]
        self._table[session] = (0, time_ms)

    def evict(self, time_ms: int) -> None:
        while self._table:
            session = next(iter(self._table))
            self.due_ms = self._table[session][1] + TTL_MS
            if time_ms < self.due_ms:
                return
            del self._table[session]
        self.due_ms = time_ms + TTL_MS

    def admit(self, session: int, number: int, time_ms: int) -> OutcomeKind:
        """EXECUTED: it is this batch's turn, and from now on it counts as executed."""
        known = self._table.pop(session, None)
        if known is None:
            return OutcomeKind.UNKNOWN_SESSION
        last = known[0]
        mine = number == last + 1
        self._table[session] = (number if mine else last, time_ms)
        if mine:
            return OutcomeKind.EXECUTED
        return OutcomeKind.DUPLICATE if number <= last else OutcomeKind.GAP

    def last_number(self, session: int) -> int | None:
        known = self._table.get(session)
        return None if known is None else known[0]

    def dump(self) -> list[tuple[int, int, int]]:
        return [(session, number, time_ms) for session, (number, time_ms) in self._table.items()]

    def load(self, rows: list[tuple[int, int, int]]) -> None:
        self._table = {session: (number, time_ms) for session, number, time_ms in rows}
        self.due_ms = 0

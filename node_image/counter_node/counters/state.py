"""The counters themselves: values, deadlines, and what changed since the cache was told."""

from __future__ import annotations

import heapq
from typing import Final

MIN: Final = -(1 << 63)
MAX: Final = (1 << 63) - 1
MAX_KEYS: Final = 10_000_000


class State:
    __slots__ = ("_due", "deadlines", "dirty", "time_ms", "values")

    def __init__(self) -> None:
        self.values: dict[bytes, int] = {}
        self.deadlines: dict[bytes, int] = {}  # log time in ms at which the key is gone
        self.time_ms = 0
        self.dirty: set[bytes] | None = None  # None: nobody wants to know
        self._due: list[tuple[int, bytes]] = []  # heap; an element counts only while `deadlines` agrees with it

    def advance(self, time_ms: int) -> None:
        """Log time moves on, never back; what is due by then is gone."""
        if time_ms <= self.time_ms:
            return
        self.time_ms = time_ms
        due = self._due
        while due and due[0][0] <= time_ms:
            deadline, key = heapq.heappop(due)
            if self.deadlines.get(key) == deadline:
                self.remove(key)

    def next_deadline(self) -> int | None:
        due = self._due
        while due and self.deadlines.get(due[0][1]) != due[0][0]:
            heapq.heappop(due)
        return due[0][0] if due else None

    def put(self, key: bytes, value: int) -> None:
        """Keeps the deadline, if there is one."""
        self.values[key] = value
        if self.dirty is not None:
            self.dirty.add(key)

    def remove(self, key: bytes) -> bool:
        self.deadlines.pop(key, None)
        if self.values.pop(key, None) is None:
            return False
        if self.dirty is not None:
            self.dirty.add(key)
        return True

    def expire_at(self, key: bytes, deadline_ms: int) -> None:
        """The key exists. A deadline that has passed removes it at once."""
        if deadline_ms <= self.time_ms:
            self.remove(key)
            return
        self.deadlines[key] = deadline_ms
        heapq.heappush(self._due, (deadline_ms, key))

    def persist(self, key: bytes) -> bool:
        return self.deadlines.pop(key, None) is not None

    def clear(self) -> None:
        if self.dirty is not None:
            self.dirty.update(self.values)
        self.values = {}
        self.deadlines = {}
        self._due = []

    def full(self) -> bool:
        return len(self.values) >= MAX_KEYS

    def load(self, values: dict[bytes, int], deadlines: dict[bytes, int], time_ms: int) -> None:
        self.values, self.deadlines, self.time_ms = values, deadlines, time_ms
        self._due = [(deadline, key) for key, deadline in deadlines.items()]
        heapq.heapify(self._due)

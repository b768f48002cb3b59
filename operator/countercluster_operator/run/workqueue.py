"""A queue of keys: each key is worked on by one worker at a time, and however often it is added
meanwhile, once more afterwards.

1. A key that fails comes back after 1 s, 2 s, 4 s … 5 min, with jitter; one that succeeds starts
   again from the beginning.
2. Keys of which something is new go before those that are only observed again: a thousand clusters
   that wait for something hold up none that somebody has changed. Every fourth turn is one of the
   others, where there are any, so that they are never left out.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
FIRST_DELAY_S, LAST_DELAY_S = 1.0, 300.0
FAIR = 4


class WorkQueue(Generic[Key]):
    def __init__(self, jitter: Callable[[], float] = random.random) -> None:
        self._there = asyncio.Semaphore(0)
        self._new: deque[Key] = deque()
        self._old: deque[Key] = deque()
        self._turn = 0
        self._queued: dict[Key, float] = {}  # since when
        self._working: set[Key] = set()
        self._again: dict[Key, bool] = {}  # and whether something is new of it
        self._timers: dict[Key, tuple[asyncio.TimerHandle, bool]] = {}
        self._failures: dict[Key, int] = {}
        self._jitter = jitter

    def add(self, key: Key, *, new: bool = True) -> None:
        """`new`: something happened; else it is only time to look again."""
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer[0].cancel()
            new = new or timer[1]
        if key in self._working:
            self._again[key] = new or self._again.get(key, False)
        elif key not in self._queued:
            self._queued[key] = asyncio.get_running_loop().time()
            (self._new if new else self._old).append(key)
            self._there.release()
        elif new and key in self._old:
            self._old.remove(key)
            self._new.append(key)

    def add_after(self, key: Key, delay_s: float, *, new: bool = False) -> None:
        """At the latest then; an earlier appointment stays."""
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if timer is not None:
            new = new or timer[1]
            if timer[0].when() <= loop.time() + delay_s:
                self._timers[key] = (timer[0], new)
                return
            timer[0].cancel()
        self._timers[key] = (loop.call_later(delay_s, self._due, key), new)

    def _due(self, key: Key) -> None:
        _, new = self._timers.pop(key)
        self.add(key, new=new)

    async def get(self) -> Key:
        await self._there.acquire()
        self._turn += 1
        first, second = (self._old, self._new) if self._turn % FAIR == 0 else (self._new, self._old)
        key = (first or second).popleft()
        del self._queued[key]
        self._working.add(key)
        return key

    def done(self, key: Key) -> None:
        """The work on `key` succeeded."""
        self._failures.pop(key, None)
        self._release(key)

    def failed(self, key: Key) -> float:
        """The work on `key` failed; returns the seconds until it is tried again."""
        count = self._failures.get(key, 0)
        self._failures[key] = count + 1
        delay_s: float = min(LAST_DELAY_S, FIRST_DELAY_S * 2 ** min(count, 16)) * (
            0.5 + self._jitter() / 2
        )
        self._release(key)
        self.add_after(key, delay_s)
        return delay_s

    def forget(self, key: Key) -> None:
        """The object is gone."""
        self._failures.pop(key, None)
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer[0].cancel()

    def _release(self, key: Key) -> None:
        self._working.discard(key)
        if key in self._again:
            self.add(key, new=self._again.pop(key))

    @property
    def depth(self) -> int:
        return len(self._queued)

    def oldest_age_s(self) -> float:
        """How long the key that waits longest has waited."""
        return (
            asyncio.get_running_loop().time() - min(self._queued.values()) if self._queued else 0.0
        )

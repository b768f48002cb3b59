"""A queue of keys: each key is worked on by one worker at a time, and however often it is added meanwhile, once more afterwards.

A key that fails comes back after 1 s, 2 s, 4 s … 5 min, with jitter; one that succeeds starts again from the beginning.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
FIRST_DELAY_S, LAST_DELAY_S = 1.0, 300.0


class WorkQueue(Generic[Key]):
    def __init__(self, jitter: Callable[[], float] = random.random) -> None:
        self._ready: asyncio.Queue[Key] = asyncio.Queue()
        self._queued: dict[Key, float] = {}  # since when
        self._working: set[Key] = set()
        self._again: set[Key] = set()
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._failures: dict[Key, int] = {}
        self._jitter = jitter

    def add(self, key: Key) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        if key in self._working:
            self._again.add(key)
        elif key not in self._queued:
            self._queued[key] = asyncio.get_running_loop().time()
            self._ready.put_nowait(key)

    def add_after(self, key: Key, delay_s: float) -> None:
        """At the latest then; an earlier appointment stays."""
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if timer is not None and timer.when() <= loop.time() + delay_s:
            return
        if timer is not None:
            timer.cancel()
        self._timers[key] = loop.call_later(delay_s, self._due, key)

    def _due(self, key: Key) -> None:
        self._timers.pop(key, None)
        self.add(key)

    async def get(self) -> Key:
        key = await self._ready.get()
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
        delay_s: float = min(LAST_DELAY_S, FIRST_DELAY_S * 2 ** min(count, 16)) * (0.5 + self._jitter() / 2)
        self._release(key)
        self.add_after(key, delay_s)
        return delay_s

    def forget(self, key: Key) -> None:
        """The object is gone."""
        self._failures.pop(key, None)
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()

    def _release(self, key: Key) -> None:
        self._working.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    @property
    def depth(self) -> int:
        return len(self._queued)

    def oldest_age_s(self) -> float:
        """How long the key that waits longest has waited."""
        return asyncio.get_running_loop().time() - min(self._queued.values()) if self._queued else 0.0

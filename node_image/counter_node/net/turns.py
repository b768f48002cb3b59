"""Fair turns of the loop: no connection, and no crowd of strangers, keeps the others waiting.

What a connection sent is worked off in slices, bounded in bytes, commands and time. What is left
waits here, and the connection is not read from meanwhile. Each round of the loop:

1. Peers and timers come first: a round here ends after `ROUND_S`, and the loop hears all sockets
   and timers before the next one begins.
2. Then those that are logged in, one slice each, in turn.
3. Then strangers (connections that have not logged in, and pages of the HTTP port): together they
   get at most `STRANGERS_SHARE` of the time, however many they are and whatever they send.
"""

from __future__ import annotations

import asyncio
from collections import deque
from time import monotonic
from typing import Final, Protocol

ROUND_S: Final = 0.004
SLICE_S: Final = 0.002
STRANGER_SLICE_S: Final = 0.0005
STRANGERS_SHARE: Final = 0.2
CREDIT_S: Final = 0.01
"""At most so much of their share do strangers save up."""


class Work(Protocol):
    def work(self, until_s: float) -> bool:
        """One slice, until about `until_s` by the monotonic clock. True when there is more to do
        now."""


class Turns:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._known: deque[Work] = deque()
        self._strangers: deque[Work] = deque()
        self._credit_s = CREDIT_S
        self._credited_s = monotonic()
        self._due = False

    def wait(self, work: Work, *, stranger: bool) -> None:
        """`work` gets a slice in its turn. Each may wait once at a time; who calls sees to that."""
        (self._strangers if stranger else self._known).append(work)
        self._soon()

    def _soon(self) -> None:
        if not self._due:
            self._due = True
            self._loop.call_soon(self._round)

    def _round(self) -> None:
        self._due = False
        now = monotonic()
        self._credit_s = min(CREDIT_S, self._credit_s + (now - self._credited_s) * STRANGERS_SHARE)
        self._credited_s = now
        try:
            self._serve_known(now + ROUND_S)
            self._serve_strangers()
        finally:  # an error in one is the end of that one's work, not of the others' turns
            self._go_on()

    def _go_on(self) -> None:
        if self._known or (self._strangers and self._credit_s > 0):
            self._soon()
        elif self._strangers and not self._due:
            self._due = True
            self._loop.call_later(STRANGER_SLICE_S - self._credit_s / STRANGERS_SHARE, self._round)

    def _serve_known(self, until_s: float) -> None:
        known = self._known
        for _ in range(len(known)):
            work = known.popleft()
            now = monotonic()
            if work.work(min(until_s, now + SLICE_S)):
                known.append(work)
            if now >= until_s:
                break

    def _serve_strangers(self) -> None:
        """At least one, while there is credit."""
        strangers = self._strangers
        start = before = monotonic()
        for _ in range(len(strangers)):
            if self._credit_s <= 0 or before - start > ROUND_S * STRANGERS_SHARE:
                break
            work = strangers.popleft()
            if work.work(before + STRANGER_SLICE_S):
                strangers.append(work)
            now = monotonic()
            self._credit_s -= now - before
            before = now

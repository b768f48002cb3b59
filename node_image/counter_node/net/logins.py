"""Logins that wait for their turn, while passwords are being guessed (security/throttle.py).

1. A connection waits with one login, and is not read from meanwhile. It is judged within `WAIT_S`,
   or answered that there are too many wrong passwords.
2. Turns go round the keys (address and user). A key gets `KEY_PER_S`, all together `TOTAL_PER_S`; a
   key from which somebody logged in before has its own turns, beside that.
3. A key has `KEY_MOST` places. When they are taken, one of those whose connection failed most often
   is refused, and its connection ends; so whoever tries passwords needs a new connection for each.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from time import monotonic
from typing import Final, Protocol

from counter_node.security.throttle import Key, Throttle

WAIT_S: Final = 3.3
KEY_PER_S, TOTAL_PER_S = 5.0, 50.0
KEY_MOST, ROOM_MOST = 15, 1_024
EVERY_S: Final = 0.05
_random = random.SystemRandom()


class Waiting(Protocol):
    """A connection whose login waits."""

    closed: bool
    failed_logins: int

    def login_turn(self) -> None: ...

    def login_refused(self, *, end: bool) -> None: ...


class Logins:
    def __init__(self, loop: asyncio.AbstractEventLoop, throttle: Throttle) -> None:
        self._loop, self._throttle = loop, throttle
        self._waiting: dict[Key, deque[tuple[float, Waiting]]] = {}
        self._next_s: dict[Key, float] = {}  # of the keys that wait
        self._count = 0
        self._credit = 0.0
        self._credited_s = monotonic()
        self._due = False

    def wait(self, connection: Waiting, key: Key) -> None:
        queue = self._waiting.setdefault(key, deque())
        queue.append((monotonic(), connection))
        self._count += 1
        if len(queue) > KEY_MOST or self._count > ROOM_MOST:
            self._refuse_one(
                queue if len(queue) > KEY_MOST else max(self._waiting.values(), key=len)
            )
        if not self._due:
            self._due = True
            self._loop.call_later(EVERY_S, self._serve)

    def _refuse_one(self, queue: deque[tuple[float, Waiting]]) -> None:
        most = max(connection.failed_logins for _, connection in queue)
        victim = _random.choice([place for place in queue if place[1].failed_logins == most])
        queue.remove(victim)
        self._count -= 1
        victim[1].login_refused(end=True)

    def _serve(self) -> None:
        self._due = False
        now = monotonic()
        self._credit = min(
            TOTAL_PER_S * 2 * EVERY_S, self._credit + (now - self._credited_s) * TOTAL_PER_S
        )
        self._credited_s = now
        for key in list(self._waiting):
            queue = self._waiting.pop(key)
            while queue and (queue[0][1].closed or now - queue[0][0] > WAIT_S):
                self._count -= 1
                queue.popleft()[1].login_refused(end=False)
            trusted = self._throttle.trusts(key)
            if queue and now >= self._next_s.get(key, 0.0) and (trusted or self._credit >= 1):
                self._credit -= 0 if trusted else 1
                self._next_s[key] = max(self._next_s.get(key, 0.0), now - EVERY_S) + 1 / KEY_PER_S
                self._count -= 1
                queue.popleft()[1].login_turn()
            if queue:
                self._waiting[key] = queue  # behind the others
        self._next_s = {key: at for key, at in self._next_s.items() if at > now - EVERY_S}
        if self._waiting and not self._due:
            self._due = True
            self._loop.call_later(EVERY_S, self._serve)

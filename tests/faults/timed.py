"""Counters with a time to live under faults, judged by this program's own running clock, which
nobody sets.

    early   a counter was gone before 0.95 of its time
    late    a read found it after 1.05 of its time and `SLACK_S`, and what a slow running clock of a
            leader explains
    twice   an increment that is sent again and again under its number counted more than once, or
            was forgotten

Each counter is written once, under a name of its own, and read until it is gone; a write without an
answer is left out. Between the write and its answer lies the moment from which it counts, so early
is counted from when it was sent and late from when it was answered."""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import time

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from tests.faults.load import Address

EARLY, LATE = 0.95, 1.05
SLACK_S = 3.0
TIMES_S = (1.0, 2.5, 5.0, 10.0, 20.0, 45.0)
ANSWER_S = 6.0
AGAIN = ("LOADING", "UNKNOWN", "READONLY", "MISCONF")


class Slow:
    """When any node's running clock was slow, and how much log time that may have cost."""

    def __init__(self) -> None:
        self._periods: list[tuple[float, float, float]] = []  # from, to, share that is lost
        self._since: tuple[float, float] | None = None

    def set(self, rate: float) -> None:
        """1.0: none is slow any more."""
        now = time.monotonic()
        if self._since is not None:
            self._periods.append((self._since[0], now, self._since[1]))
        self._since = (now, 1 - rate) if rate < 1 else None

    def lost_s(self, start: float, end: float) -> float:
        periods = [
            *self._periods,
            *([(self._since[0], end, self._since[1])] if self._since else []),
        ]
        return sum(
            max(0.0, min(end, to) - max(start, since)) * share for since, to, share in periods
        )


class Timed:
    def __init__(
        self, addresses: list[Address], workers: int = 16, slow: Slow | None = None
    ) -> None:
        self.slow = slow or Slow()
        self.problems: list[str] = []
        self.expired = 0
        self.repeated = 0
        self.least = float("inf")
        """The shortest share of its time after which a counter was found gone, at most."""
        self.most_late_s = 0.0
        """Longest that a counter was read beyond its time, at least; what slow clocks explain is
        taken off."""
        self._addresses = addresses
        self._workers = workers
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._count_down()) for _ in range(self._workers)]
        self._tasks.append(asyncio.create_task(self._repeat()))

    async def stop(self, within_s: float = 60) -> None:
        """What was counted once is asked once more; counters that still live are left."""
        self._stopping = True
        for task in self._tasks[:-1]:
            task.cancel()
        _, going = await asyncio.wait(self._tasks, timeout=within_s)
        for task in self._tasks:
            if task in going:
                task.cancel()
                self.problems.append(
                    f"liveness: the repeated increment got no answer within {within_s:.0f} s"
                )
            elif not task.cancelled() and (error := task.exception()) is not None:
                self.problems.append(f"the check of time ended: {error!r}")

    def __str__(self) -> str:
        share = f"{self.least:.3f}" if self.expired else "-"
        return (
            f"{self.expired:,} counters expired, the first after {share} of its time, none read "
            f"more than "
            f"{self.most_late_s:.2f} s beyond it; one increment sent {self.repeated:,} times again"
        )

    async def _ask(self, *command: str | int) -> tuple[object, float, float] | None:
        """The answer of some node, with when it was asked and when it answered; None when nobody
        knows."""
        host, port = random.choice(self._addresses)
        start = time.monotonic()
        client = redis.asyncio.Redis(
            host=host,
            port=port,
            socket_timeout=ANSWER_S,
            socket_connect_timeout=1,
            retry=Retry(NoBackoff(), 0),
        )
        try:
            return await client.execute_command(*command), start, time.monotonic()
        except redis.ResponseError as error:
            if str(error).split(" ", 1)[0] not in AGAIN:
                self.problems.append(f"{command[0]} was answered {error}")
        except (redis.RedisError, OSError):
            pass
        finally:
            with contextlib.suppress(redis.RedisError, OSError):
                await client.aclose()
        return None

    async def _count_down(self) -> None:
        while not self._stopping:
            key, ttl_s = f"t-{secrets.token_hex(6)}", random.choice(TIMES_S)
            written = await self._ask("SET", key, 1, "PX", round(ttl_s * 1000))
            if written is None:
                await asyncio.sleep(0.1)
                continue
            _, sent, answered = written
            await self._watch(key, ttl_s, sent, answered)

    async def _watch(self, key: str, ttl_s: float, sent: float, answered: float) -> None:
        while True:
            left_s = answered + ttl_s - time.monotonic()
            await asyncio.sleep(min(1.0, max(0.05, left_s / 4)))
            found = await self._ask("GET", key)
            if found is None:
                continue
            value, asked, replied = found
            if value is None:
                self._gone(key, ttl_s, replied - sent)
                return
            if not self._may_live(key, ttl_s, answered, asked):
                return

    def _gone(self, key: str, ttl_s: float, at_most_s: float) -> None:
        self.expired += 1
        self.least = min(self.least, at_most_s / ttl_s)
        if at_most_s < EARLY * ttl_s:
            self.problems.append(f"early: {key} with {ttl_s} s was gone after {at_most_s:.2f} s")

    def _may_live(self, key: str, ttl_s: float, answered: float, asked: float) -> bool:
        beyond_s = asked - answered - ttl_s - self.slow.lost_s(answered, asked)
        self.most_late_s = max(self.most_late_s, beyond_s)
        if beyond_s <= (LATE - 1) * ttl_s + SLACK_S:
            return True
        self.problems.append(
            f"late: {key} with {ttl_s} s was still there {beyond_s:.2f} s after its time"
        )
        return False

    async def _repeat(self) -> None:
        """One increment, from the first second to the last."""
        key, producer = f"once-{secrets.token_hex(6)}", f"timed-{secrets.token_hex(6)}"
        known = last = False
        while not last:
            last = self._stopping
            found = await self._ask("IDMP", producer, 1, "INCR", key)
            if found is None:
                last = False  # also the last time there must be an answer
            elif int(str(found[0], "ascii") if isinstance(found[0], bytes) else str(found[0])) != 1:
                self.problems.append(f"twice: {key} was answered {found[0]!r}")
                return
            else:
                self.repeated += known
                known = True
            await asyncio.sleep(0.5)
        final = await self._ask("GET", key)
        if final is not None and final[0] != b"1":
            self.problems.append(f"twice: {key} is {final[0]!r} at the end")

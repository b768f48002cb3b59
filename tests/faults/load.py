"""Load that knows afterwards every reply: every operation with its times, for the checker.

A lane is one connection to one node; when it breaks or is silent it goes on with the next node.
Exactly-once lanes keep `window` increments on the way, each under its own sequence, and send what
is unanswered again; the first, which makes the producer known, goes alone. Plain lanes send one
INCR at a time and note "unknown" when the answer is lost. Every lane reads its key now and then.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import time
from array import array
from collections import deque
from collections.abc import Callable
from typing import Any

import hiredis

from tests.checkers.increments import Operation, Violation, check

SILENT_S = 4.5
PAUSE_S = 0.05
CONNECT_S = 1.0
READ_SHARE = 0.05
Address = tuple[str, int]


class History:
    """All operations on one key, small: 1 million take 24 MB."""

    def __init__(self, key: str) -> None:
        self.key = key
        self._adds = array("d")  # start, end, value, …
        self._gets = array("d")
        self.unknown = array("d")  # starts

    @property
    def acknowledged(self) -> int:
        return len(self._adds) // 3

    @property
    def reads(self) -> int:
        return len(self._gets) // 3

    def add(self, start: float, end: float, value: int) -> None:
        self._adds.extend((start, end, value))

    def get(self, start: float, end: float, value: int) -> None:
        self._gets.extend((start, end, value))

    def judge(self, final: int) -> tuple[Violation | None, int, int]:
        """The checker's word, and how many were lost and doubled, given the counter's value after
        everything."""
        adds, gets = self._adds, self._gets
        operations = [
            Operation("add", adds[i], adds[i + 1], int(adds[i + 2])) for i in range(0, len(adds), 3)
        ]
        operations += [
            Operation("get", gets[i], gets[i + 1], int(gets[i + 2])) for i in range(0, len(gets), 3)
        ]
        operations += [Operation("add", start, float("inf"), None) for start in self.unknown]
        end = time.monotonic()
        operations.append(Operation("get", end, end, final))
        answers = {int(value) for value in adds[2::3]}
        lost = max(0, self.acknowledged - final) + sum(1 for value in answers if value > final)
        doubled = (
            self.acknowledged - len(answers) + max(0, final - self.acknowledged - len(self.unknown))
        )
        return check(operations), lost, doubled


class Lane(asyncio.Protocol):
    def __init__(
        self,
        addresses: list[Address],
        first: int,
        history: History,
        window: int,
        answered: Callable[[float], None],
        may: Callable[[], bool],
    ) -> None:
        """`window` 0: a plain lane, one INCR at a time. `may` is asked before every new
        increment."""
        self._may = may
        self._addresses, self._at = addresses, first % len(addresses)
        self._history, self._window, self._answered = history, window, answered
        self._producer = "p" + secrets.token_hex(6)
        self._sequence = 0
        self._started: dict[int, float] = {}  # unanswered sequences
        self._sent: deque[tuple[str, int, float]] = deque()  # on this connection, unanswered
        self._again: deque[int] = deque()
        self._transport: asyncio.Transport | None = None
        self._reader = hiredis.Reader()
        self._heard = time.monotonic()
        self._pause_until = 0.0
        self.stopping = False
        self.problem = ""

    @property
    def done(self) -> bool:
        return bool(self.problem) or (self.stopping and not self._started and not self._sent)

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        while not self.done:
            if self._transport is None:
                self._at = (self._at + 1) % len(self._addresses)
                with contextlib.suppress(OSError, TimeoutError):
                    async with asyncio.timeout(CONNECT_S):
                        await loop.create_connection(lambda: self, *self._addresses[self._at])
            elif self._sent and time.monotonic() - self._heard > SILENT_S:
                self._transport.abort()
            else:
                self._fill()
            await asyncio.sleep(PAUSE_S)
        if self._transport is not None:
            self._transport.abort()

    # --- asyncio ----------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        self._transport, self._reader, self._heard = transport, hiredis.Reader(), time.monotonic()
        self._again = deque(self._started)
        self._fill()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if not self._window:
            for kind, _, start in self._sent:
                if kind == "add":
                    self._history.unknown.append(start)
        self._sent.clear()

    def data_received(self, data: bytes) -> None:
        now = self._heard = time.monotonic()
        self._reader.feed(data)
        while self._sent and (reply := self._reader.gets()) is not False:
            self._take(reply, now, *self._sent.popleft())
        self._fill()

    # --- commands ---------------------------------------------------------------------------------

    def _take(self, reply: Any, now: float, kind: str, sequence: int, start: float) -> None:
        if isinstance(reply, Exception):
            self._refused(str(reply), kind, sequence, start)
        elif kind == "get":
            self._history.get(start, now, int(reply or 0))
        else:
            start = self._started.pop(sequence, start)
            self._history.add(start, now, int(reply))
            self._answered(now)

    def _refused(self, text: str, kind: str, sequence: int, start: float) -> None:
        code = text.split(" ", 1)[0]
        self._pause_until = time.monotonic() + PAUSE_S
        if code not in ("LOADING", "UNKNOWN", "OOM", "READONLY", "MISCONF"):
            self.problem = f"{self._producer} got {text!r} for {kind} {sequence}"
        elif kind == "add" and self._window:
            self._again.append(sequence)
        elif kind == "add" and code == "UNKNOWN":
            self._history.unknown.append(start)

    def _fill(self) -> None:
        transport = self._transport
        now = time.monotonic()
        if transport is None or self.problem or now < self._pause_until:
            return
        out = []
        key = self._history.key
        while len(self._sent) < (1 if 1 in self._started else max(1, self._window)):
            if self._again:
                sequence = self._again.popleft()
            elif self.stopping or not self._may():
                break
            elif random.random() < READ_SHARE:
                out.append(hiredis.pack_command(("GET", key)))
                self._sent.append(("get", 0, now))
                continue
            elif self._window:
                self._sequence += 1
                sequence = self._sequence
                self._started[sequence] = now
            else:
                sequence = 0
            command = (
                ("IDMP", self._producer, sequence, "INCR", key) if self._window else ("INCR", key)
            )
            out.append(hiredis.pack_command(command))
            self._sent.append(("add", sequence, now))
        if out:
            if len(self._sent) == len(out):
                self._heard = now
            transport.write(b"".join(out))


class Load:
    """All lanes together, at most `rate` commands a second. `longest_gap_s`: between two
    acknowledged increments, whoever made them."""

    def __init__(
        self, addresses: list[Address], lanes: int, window: int, keys: int, rate: float
    ) -> None:
        self._rate = rate
        self._allowed = 0.0
        self._allowed_at = time.monotonic()
        mark = secrets.token_hex(3)
        self.histories = [History(f"k{n}-{mark}") for n in range(keys)]
        plain = History(f"plain-{mark}")
        self.lanes = [
            Lane(addresses, n, self.histories[n % keys], window, self._answered, self._may)
            for n in range(lanes)
        ]
        self.lanes += [
            Lane(addresses, n, plain, 0, self._answered, self._may) for n in range(len(addresses))
        ]
        self.histories.append(plain)
        self.longest_gap_s = 0.0
        self.acknowledged = 0
        self._last = time.monotonic()
        self._tasks: list[asyncio.Task[None]] = []

    def _answered(self, now: float) -> None:
        self.acknowledged += 1
        self.longest_gap_s = max(self.longest_gap_s, now - self._last)
        self._last = now

    def _may(self) -> bool:
        """A bucket that holds what may be sent in a fifth of a second."""
        now = time.monotonic()
        self._allowed = min(self._rate / 5, self._allowed + (now - self._allowed_at) * self._rate)
        self._allowed_at = now
        if self._allowed < 1:
            return False
        self._allowed -= 1
        return True

    @property
    def problem(self) -> str:
        return next((lane.problem for lane in self.lanes if lane.problem), "")

    @property
    def unanswered_s(self) -> float:
        return time.monotonic() - self._last

    def start(self) -> None:
        self._last = time.monotonic()
        self._tasks = [asyncio.create_task(lane.run()) for lane in self.lanes]

    async def stop(self, within_s: float = 60) -> None:
        """Every unanswered increment gets its answer first. Raises TimeoutError."""
        for lane in self.lanes:
            lane.stopping = True
        async with asyncio.timeout(within_s):
            await asyncio.gather(*self._tasks)

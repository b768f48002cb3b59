"""Time that passes only by what the lanes wait for, so that deadlines do not depend on the machine.

1. A pause between two attempts takes no real time: the clock moves by it.
2. A late reply takes `LATE_S` of this clock. A lane that waits for less gets its time-out, one that
   waits for longer gets the reply.
3. Any other reply is waited for, however long it takes, and takes no time of this clock.

For one lane at a time. What real time does to a call: test_cancelled.py and the tests without a
clock."""

from __future__ import annotations

import asyncio
from typing import Any, Self

import pytest
from countercluster.aio import lane as aio_lane
from countercluster.aio import waiting as aio_waiting
from countercluster.sync import lane as sync_lane
from countercluster.sync import waiting as sync_waiting

from tests.support.unit.counting_server import BOUND_S, CountingServer

LATE_S = 0.4


class Clock:
    """As the module `time` for the lanes that speak to this server."""

    def __init__(self, server: CountingServer) -> None:
        self.now = 1000.0
        self._server = server
        self._asked = self._late = 0
        self._patches = pytest.MonkeyPatch()

    def __enter__(self) -> Self:
        for lane in (aio_lane, sync_lane):
            self._patches.setattr(lane, "time", self)
        self._patches.setattr(aio_lane, "sleep", self._aio_sleep)
        self._patches.setattr(sync_lane, "sleep", self._sleep)
        self._patches.setattr(aio_lane, "limit", lambda _: aio_waiting.limit(BOUND_S))
        self._patches.setattr(aio_lane, "receive", self._aio_receive)
        self._patches.setattr(sync_lane, "receive", self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        self._patches.undo()

    def monotonic(self) -> float:
        return self.now

    def _sleep(self, pause_s: float) -> None:
        self.now += pause_s

    async def _aio_sleep(self, pause_s: float) -> None:
        self._sleep(pause_s)

    def _receive(self, connection: Any, timeout_s: float) -> Any:
        return sync_waiting.receive(connection, self._real(timeout_s))

    async def _aio_receive(self, connection: Any, timeout_s: float) -> Any:
        return await aio_waiting.receive(connection, await asyncio.to_thread(self._real, timeout_s))

    def _real(self, timeout_s: float) -> float:
        """How long to wait for the reply of the request that was sent last, in real seconds."""
        self._asked += 1
        self._server.settle(self._asked)
        if len(self._server.withheld) == self._late:
            return BOUND_S
        self._late += 1
        self.now += min(timeout_s, LATE_S)
        if timeout_s < LATE_S:
            return 0.001
        self._server.withheld[-1].set()
        return BOUND_S

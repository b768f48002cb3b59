"""Calls of the asyncio face that are cancelled, as `asyncio.timeout` does it."""

from __future__ import annotations

import asyncio
import contextlib

from countercluster import AsyncCounters

from tests.unit.client.server import CountingServer

CALLS = 40


def test_cancelled_calls_cost_one_producer_and_count_once_at_most() -> None:
    """At every point of a call, from before it was sent to after its reply came."""

    async def run(server: CountingServer) -> int:
        told = 0
        async with AsyncCounters(server.url, connections=1) as counters:
            for call in range(CALLS):
                work = asyncio.ensure_future(counters.incr("k"))
                for _ in range(call % 8):
                    await asyncio.sleep(0)
                work.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    told += bool(await work)
            await counters.incr("k")
        return told + 1

    with CountingServer() as server:
        told = asyncio.run(run(server))
        assert told <= server.values[b"k"] <= CALLS + 1
        assert len(server.producers) == 1
        sequences = [words[2] for words in server.received if words[0] == b"IDMP"]
        assert len(set(sequences)) == len(sequences), "a sequence went to two commands"


def test_calls_that_wait_for_a_late_reply_are_cancelled_and_the_lane_keeps_its_producer() -> None:
    async def run(server: CountingServer) -> None:
        async with AsyncCounters(server.url, connections=1) as counters:
            for _ in range(5):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await counters.incr("k")
            assert await counters.incr("k") == 6

    with CountingServer(*["late"] * 5) as server:
        asyncio.run(run(server))
        assert len(server.producers) == 1

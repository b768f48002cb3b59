"""Calls of the asyncio face that are cancelled, as `asyncio.timeout` does it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools

from countercluster import AsyncCounters

from tests.support.unit.counting_server import PATIENT, CountingServer

CALLS = 40


def test_cancelled_calls_cost_one_producer_and_count_once_at_most() -> None:
    """At every point of a call, from before it was sent to after its reply came."""

    async def run(server: CountingServer) -> int:
        async with AsyncCounters(server.url, connections=1, **PATIENT) as counters:
            # The producer is known from here on: sequences may arrive in any order.
            answered = int(await counters.incr("k") == 1)
            for call in range(CALLS):
                work = asyncio.ensure_future(counters.incr("k"))
                for _ in range(call % 8):
                    await asyncio.sleep(0)
                work.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    answered += bool(await work)
            await counters.incr("k")
        return answered + 1

    with CountingServer() as server:
        answered = asyncio.run(run(server))
        assert answered <= server.values[b"k"] <= CALLS + 2
        assert len(server.producers) == 1
        sequences = [words[2] for words in server.received if words[0] == b"IDMP"]
        assert len(set(sequences)) == len(sequences), "a sequence went to two commands"


def test_calls_that_wait_for_a_late_reply_are_cancelled_and_the_lane_keeps_its_producer() -> None:
    async def run(server: CountingServer) -> None:
        async with AsyncCounters(server.url, connections=1, **PATIENT) as counters:
            for call in range(5):
                work = asyncio.ensure_future(counters.incr("k"))
                await asyncio.to_thread(server.settle, call + 1)
                work.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await work
                assert work.cancelled()
            assert await counters.incr("k") == 6
            await asyncio.to_thread(server.release)
            assert await counters.incr("k") == 7

    with CountingServer(*["late"] * 5) as server:
        asyncio.run(run(server))
        assert len(server.producers) == 1


async def cancelled_after(turns: int, counters: AsyncCounters) -> None:
    """A call is cancelled so many turns of the event loop after its start."""
    work = asyncio.ensure_future(counters.incr("k"))
    for _ in range(turns):
        await asyncio.sleep(0)
    work.cancel()
    await asyncio.wait({work}, timeout=30)
    assert work.cancelled(), f"lost after {turns} turns"


def test_a_cancellation_that_comes_while_the_request_is_sent_is_not_lost() -> None:
    """At each turn of the event loop from the start of the call on; no call has a reply."""

    async def run(server: CountingServer) -> None:
        async with AsyncCounters(server.url, connections=1, **PATIENT) as counters:
            for turns in range(12):
                server.faults = iter(())
                await counters.incr("k")
                server.faults = itertools.repeat("late")
                await cancelled_after(turns, counters)

    with CountingServer() as server:
        asyncio.run(run(server))


def test_a_cancellation_that_comes_while_the_connection_is_made_is_not_lost() -> None:
    async def run(server: CountingServer) -> None:
        for turns in range(40):
            async with AsyncCounters(
                server.url, connections=1, client_name="x", **PATIENT
            ) as counters:
                await cancelled_after(turns, counters)

    with CountingServer() as server:
        server.faults = itertools.repeat("late")
        asyncio.run(run(server))

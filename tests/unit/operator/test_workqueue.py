"""The queue of keys."""

from __future__ import annotations

import asyncio

from countercluster_operator.workqueue import WorkQueue


def test_a_burst_is_one_piece_of_work_and_what_comes_meanwhile_one_more() -> None:
    async def scenario() -> list[str]:
        queue: WorkQueue[str] = WorkQueue()
        done = []
        for _ in range(10):
            queue.add("a")
        key = await queue.get()
        for _ in range(5):
            queue.add("a")
        assert queue.depth == 0, "one worker at a time for a key"
        queue.done(key)
        done.append(key)
        done.append(await queue.get())
        queue.done("a")
        assert queue.depth == 0
        return done

    assert asyncio.run(scenario()) == ["a", "a"]


def test_failures_wait_longer_and_longer_and_success_forgets_them() -> None:
    async def scenario() -> list[float]:
        queue: WorkQueue[str] = WorkQueue(jitter=lambda: 1.0)
        delays = []
        for _ in range(3):
            queue.add("a")
            delays.append(queue.failed(await queue.get()))
        queue.add("a")
        queue.done(await queue.get())
        queue.add("a")
        delays.append(queue.failed(await queue.get()))
        return delays

    assert asyncio.run(scenario()) == [1.0, 2.0, 4.0, 1.0]


def test_of_two_appointments_the_earlier_one_stays() -> None:
    async def scenario() -> float:
        queue: WorkQueue[str] = WorkQueue()
        start = asyncio.get_running_loop().time()
        queue.add_after("a", 0.05)
        queue.add_after("a", 60)
        await asyncio.wait_for(queue.get(), 5)
        return asyncio.get_running_loop().time() - start

    assert asyncio.run(scenario()) < 4

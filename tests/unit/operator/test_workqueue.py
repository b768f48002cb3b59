"""The queue of keys."""

from __future__ import annotations

import asyncio

from countercluster_operator.run.workqueue import WorkQueue


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


def test_what_is_new_goes_before_what_is_only_observed_again_and_leaves_it_a_turn() -> None:
    async def scenario() -> list[str]:
        queue: WorkQueue[str] = WorkQueue()
        for n in range(4):
            queue.add(f"old{n}", new=False)
        queue.add("old1")  # somebody changed it
        for n in range(4):
            queue.add(f"new{n}")
        return [await queue.get() for _ in range(8)]

    assert asyncio.run(scenario()) == [
        "old1",
        "new0",
        "new1",
        "old0",
        "new2",
        "new3",
        "old2",
        "old3",
    ]


def test_what_became_new_while_it_waited_or_was_worked_on_is_new() -> None:
    async def scenario() -> list[str]:
        queue: WorkQueue[str] = WorkQueue()
        queue.add("a")
        queue.done(await queue.get())
        queue.add_after("a", 0.01, new=False)
        queue.add_after("a", 0.02, new=True)  # the earlier appointment stays, and is new now
        queue.add("b")
        working = await queue.get()
        queue.add("b", new=True)
        queue.add("b", new=False)
        queue.add("old", new=False)
        await asyncio.sleep(0.1)
        queue.done(working)
        return [await queue.get() for _ in range(3)]

    assert asyncio.run(scenario()) == ["a", "old", "b"], "the fourth turn is one of the others'"

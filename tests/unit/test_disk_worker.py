"""When the end of a disk job is told."""

from __future__ import annotations

import asyncio

from counter_node.disk_worker import DiskWorker


def order_of(*, at_once: bool, slow: bool = False) -> list[str]:
    async def inside() -> list[str]:
        happened: list[str] = []
        over = asyncio.Event()

        def done(error: BaseException | None) -> None:
            assert error is None
            happened.append("done")
            over.set()

        worker = DiskWorker(asyncio.get_running_loop(), lambda seconds: None)
        worker.submit(lambda: happened.append("work"), done, at_once=at_once, slow=slow)
        happened.append("submitted")
        await asyncio.wait_for(over.wait(), 10)
        worker.close()
        return happened

    return asyncio.run(inside())


def test_inside_the_loop_the_end_is_told_after_what_came_in_meanwhile_was_read() -> None:
    assert order_of(at_once=False) == ["work", "submitted", "done"]


def test_who_serves_others_with_it_is_told_at_once() -> None:
    assert order_of(at_once=True) == ["work", "done", "submitted"]


def test_what_is_slow_is_never_done_inside_the_loop() -> None:
    assert order_of(at_once=True, slow=True)[-1] == "done"

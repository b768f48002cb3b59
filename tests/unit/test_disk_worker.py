"""When the end of a disk job is noticed, and by whom it is waited for."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from pathlib import Path
from typing import cast

import pytest
from counter_node.fast.lanes import COMPILED, Syncer
from counter_node.node import disk_policy
from counter_node.node.disk_policy import CAREFUL_JOBS, MANY_BYTES, SLOW_S, DiskPolicy, Facts, Way
from counter_node.node.disk_worker import DiskWorker
from counter_node.raft.types import HardState
from counter_node.storage import DiskFailedError, Failpoints, Storage


def open_storage(directory: Path, faults: str = "") -> Storage:
    return Storage.open(
        directory, "c", segment_bytes=1 << 20, failpoints=Failpoints(faults) if faults else None
    )[0]


async def one_job(
    worker: DiskWorker,
    storage: Storage,
    happened: list[str],
    term: int,
    *,
    leads: bool,
    slow: bool = False,
    beside: bool | None = None,
) -> BaseException | None:
    over: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()

    def write() -> None:
        storage.write(HardState(term, 0, 0), [])
        happened.append("written")

    def done(error: BaseException | None) -> None:
        happened.append("done")
        over.set_result(error)

    many = leads if beside is None else beside
    worker.submit(write, done, Facts(slow, leads, MANY_BYTES if many else 0, False))
    happened.append("submitted")
    return await asyncio.wait_for(over, 10)


def order_of(
    directory: Path, *, leads: bool, slow: bool = False, beside: bool | None = None
) -> list[str]:
    async def inside() -> list[str]:
        storage, happened = open_storage(directory), cast(list[str], [])
        worker = DiskWorker(asyncio.get_running_loop(), storage, lambda seconds: None)
        assert (
            await one_job(worker, storage, happened, 1, leads=leads, slow=slow, beside=beside)
            is None
        )
        worker.close()
        storage.close()
        return happened

    return asyncio.run(inside())


def test_of_a_leader_s_job_the_end_is_noticed_after_what_came_in_meanwhile_was_read(
    tmp_path: Path,
) -> None:
    for beside in (False, True):
        assert order_of(tmp_path / str(beside), leads=True, beside=beside) == [
            "written",
            "submitted",
            "done",
        ]


def test_of_a_follower_s_job_the_end_is_noticed_at_once(tmp_path: Path) -> None:
    assert order_of(tmp_path, leads=False) == ["written", "done", "submitted"]


def test_what_is_slow_is_never_done_inside_the_loop(tmp_path: Path) -> None:
    assert order_of(tmp_path, leads=False, slow=True)[-1] == "done"


@pytest.mark.parametrize("leads", [True, False])
def test_many_jobs_are_all_durable(tmp_path: Path, leads: bool) -> None:
    async def inside() -> None:
        storage = open_storage(tmp_path)
        took: list[float] = []
        worker = DiskWorker(asyncio.get_running_loop(), storage, took.append)
        for term in range(1, 201):
            assert await one_job(worker, storage, [], term, leads=leads) is None
        worker.close()
        storage.close()
        assert len(took) == 200
        assert all(seconds > 0 for seconds in took)

    asyncio.run(inside())
    storage, recovered = Storage.open(tmp_path, "c", segment_bytes=1 << 20)
    assert recovered.hard_state.term == 200
    storage.close()


@pytest.mark.parametrize("leads", [True, False])
def test_a_failing_disk_is_noticed_wherever_it_is_waited_for(tmp_path: Path, leads: bool) -> None:
    async def inside() -> None:
        storage = open_storage(tmp_path, "storage.sync.wal=eio@12+")
        worker = DiskWorker(asyncio.get_running_loop(), storage, lambda seconds: None)
        errors = [await one_job(worker, storage, [], term, leads=leads) for term in range(1, 13)]
        assert isinstance(errors[-1], DiskFailedError)
        worker.close()
        storage.close()

    asyncio.run(inside())


def test_a_sync_that_fails_beside_the_loop_is_final(tmp_path: Path) -> None:
    storage = open_storage(tmp_path)
    storage.write(HardState(1, 0, 0), [])
    assert storage.begin_sync() is not None
    with pytest.raises(DiskFailedError):
        storage.end_sync(errno.EIO)
    with pytest.raises(DiskFailedError):
        storage.sync()
    with pytest.raises(DiskFailedError):
        storage.write(HardState(2, 0, 0), [])
    storage.close()


def test_between_the_two_parts_of_a_sync_nothing_else_is_done(tmp_path: Path) -> None:
    storage = open_storage(tmp_path)
    storage.write(HardState(1, 0, 0), [])
    storage.begin_sync()
    for call in (storage.sync, lambda: storage.write(HardState(2, 0, 0), [])):
        with pytest.raises(Exception, match="sync is still under way"):
            call()
    storage.end_sync(0)
    storage.write(HardState(2, 0, 0), [])
    storage.sync()
    assert storage.begin_sync() is None, "nothing is left to wait for"
    storage.close()


@pytest.mark.skipif(not COMPILED, reason="there is no thread beside the interpreter in pure Python")
def test_the_loop_goes_on_while_the_disk_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sync of much data takes a while; the loop turns many times meanwhile."""

    async def inside() -> None:
        storage = open_storage(tmp_path)
        worker = DiskWorker(asyncio.get_running_loop(), storage, lambda seconds: None)
        path = tmp_path / "much"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
        os.pwrite(descriptor, os.urandom(32 << 20), 0)
        monkeypatch.setattr(storage, "begin_sync", lambda: descriptor)
        monkeypatch.setattr(storage, "end_sync", lambda errno: None)
        job = asyncio.ensure_future(one_job(worker, storage, [], 1, leads=True))
        turns = 0
        while not job.done():
            await asyncio.sleep(0)
            turns += 1
        assert turns > 20
        worker.close()
        os.close(descriptor)
        storage.close()

    asyncio.run(inside())


@pytest.mark.skipif(Syncer is None, reason="not compiled")
def test_a_bad_descriptor_is_an_error_and_closing_waits() -> None:
    assert Syncer is not None
    syncer = Syncer()
    syncer.start(1 << 20)
    deadline = time.monotonic() + 10
    while True:
        try:
            assert syncer.result() == errno.EBADF
            break
        except BlockingIOError:
            assert time.monotonic() < deadline
    syncer.start(1 << 20)
    syncer.close()
    syncer.close()


def test_a_disk_that_keeps_the_loop_is_waited_for_on_the_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_policy, "SLOW_S", 0.0)
    monkeypatch.setattr(disk_policy, "CAREFUL_JOBS", 2)

    async def inside() -> None:
        storage = open_storage(tmp_path)
        worker = DiskWorker(asyncio.get_running_loop(), storage, lambda seconds: None)
        orders = []
        for term in range(1, 4):
            happened: list[str] = []
            await one_job(worker, storage, happened, term, leads=False)
            orders.append(happened.index("done") < happened.index("submitted"))
        assert orders == [True, False, False]
        worker.close()
        storage.close()

    asyncio.run(inside())


@pytest.mark.parametrize(
    ("facts", "way"),
    [
        (Facts(False, False, 10_000, False), Way.INSIDE),
        (Facts(False, False, 0, True), Way.INSIDE),
        (Facts(False, True, MANY_BYTES - 1, False), Way.INSIDE),
        (Facts(False, True, MANY_BYTES, False), Way.BESIDE),
        (Facts(False, True, 0, True), Way.BESIDE),
        (Facts(True, True, MANY_BYTES, True), Way.THREAD),
        (Facts(True, False, 0, False), Way.THREAD),
    ],
)
def test_where_a_job_is_waited_for(facts: Facts, way: Way) -> None:
    assert DiskPolicy(has_syncer=True).way(facts) is way
    without = DiskPolicy(has_syncer=False).way(facts)
    assert without is (Way.INSIDE if way is Way.BESIDE else way)


def test_a_slow_disk_is_waited_for_on_the_thread_for_so_many_jobs_and_tried_again() -> None:
    policy, facts = DiskPolicy(has_syncer=True), Facts(False, True, MANY_BYTES, False)
    policy.took(SLOW_S)
    assert policy.way(facts) is Way.BESIDE
    policy.took(2 * SLOW_S)
    ways = [policy.way(facts) for _ in range(CAREFUL_JOBS + 1)]
    assert ways == [Way.THREAD] * CAREFUL_JOBS + [Way.BESIDE]
    for _ in range(40):
        policy.took(0.006)
    assert policy.way(facts) is Way.THREAD, "the average is over its limit, none of them is"

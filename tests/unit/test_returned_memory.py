"""What is gone is gone at once: no ring of references leaves it to the collector of garbage, which
runs rarely and never looks at what a growing node froze. And what is free goes back to the system,
in pieces."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from counter_node import memory
from counter_node.counters import ops as o
from counter_node.counters.machine import Machine
from counter_node.memory import LEAST_RETURN_BYTES, RETURN_BYTES, RETURN_SHARE, Returns
from counter_node.node.disk_policy import Facts
from counter_node.node.disk_worker import DiskWorker
from counter_node.node.writing import Writing
from counter_node.raft.types import Membership, Snapshot, SnapshotMeta
from counter_node.replica.disk_jobs import DiskJob
from counter_node.storage import DiskFullError, Storage

from tests.support.unit.machine_log import Log, set_
from tests.support.unit.made_up_node import MadeUpNode, request, run

LAST_S = 5.0


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


# --- rings ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [
        b"*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$100000\r\n" + 50_000 * b"1",
        request(b"MULTI") + 50 * request(b"SET", b"k:1", b"1"),
        request(b"INCR", b"k:1") + request(b"GET", b"k:1"),
        request(b"MGET", *(b"k:%d" % n for n in range(3_000))),
        b"",
    ],
)
def test_a_connection_that_ended_leaves_nothing_behind(sent: bytes) -> None:
    def inside() -> None:
        node = MadeUpNode()
        with uncollected():
            connection, wire = node.connect()
            left, transport = weakref.ref(connection), weakref.ref(wire)
            if sent:
                connection.data_received(sent)
            connection.connection_lost(None)
            del connection, wire
            node.turn()
            node.bundles.clear()
            node.clients.turns._round()
            assert left() is None
            assert transport() is None

    run(inside)


def filled() -> Log:
    log = Log()
    log.run(*(set_(b"%d" % n, n, o.EX_IN, 9_000) for n in range(5_000)))
    return log


@pytest.mark.parametrize("steps", [0, 1, 1_000])
def test_a_dump_that_is_done_or_given_up_is_gone(steps: int) -> None:
    log = filled()
    with uncollected():
        dump = log.machine.dump()
        left = weakref.ref(dump)
        for _ in range(steps):
            if dump.step():
                break
        dump.close()
        del dump
        assert left() is None


@pytest.mark.parametrize("steps", [0, 1, 1_000])
def test_a_restoring_that_is_done_or_given_up_is_gone(steps: int) -> None:
    state = filled().machine.snapshot()
    with uncollected():
        restoring = Machine.restoring(state)
        left, inner = weakref.ref(restoring), weakref.ref(restoring._restore)
        for _ in range(steps):
            if restoring.step():
                break
        else:
            restoring.close()
        del restoring
        assert left() is None
        assert inner() is None


def job_of(state: bytes) -> DiskJob:
    meta = SnapshotMeta(5, 1, Membership((), ()))
    return DiskJob(None, [], Snapshot(meta, state), None, [])


class MadeUpStorage:
    def __init__(self) -> None:
        self.full = 0

    def save_snapshot(self, snapshot: Snapshot) -> None:
        if self.full:
            self.full -= 1
            raise DiskFullError("no room")


@pytest.mark.parametrize("full", [0, 1])
def test_a_job_that_is_durable_is_gone(full: int) -> None:
    submitted: list[tuple[Callable[[], None], Callable[[BaseException | None], None]]] = []
    ended: list[tuple[bool, bool]] = []
    storage = MadeUpStorage()
    storage.full = full
    node = SimpleNamespace(
        failed="",
        storage=storage,
        worker=SimpleNamespace(submit=lambda write, done, facts: submitted.append((write, done))),
        replica=SimpleNamespace(is_leader=False, gateway=SimpleNamespace(one_command_waits=False)),
        job_waits=lambda error, submit: None,
        job_done=lambda job, no_room: ended.append((job.install is not None, no_room is not None)),
    )
    with uncollected():
        writing = Writing(cast(Any, node), cast(Any, node), job_of(b"state"), None)
        assert not hasattr(writing, "__dict__")
        before = len([x for x in gc.get_objects() if type(x) is Writing])
        writing.submit()
        del writing
        write, done = submitted.pop()
        write()
        done(None)
        del write, done
        assert ended == [(True, bool(full))]
        assert len([x for x in gc.get_objects() if type(x) is Writing]) == before - 1


def test_the_disk_thread_keeps_nothing_of_the_last_job() -> None:
    class Work:
        def write(self) -> None: ...

    async def inside() -> weakref.ref[Work]:
        done = asyncio.Event()
        worker = DiskWorker(
            asyncio.get_running_loop(),
            cast(Storage, SimpleNamespace(sync=lambda: None)),
            lambda _: None,
        )
        try:
            work = Work()
            left = weakref.ref(work)
            worker.submit(work.write, lambda _: done.set(), Facts(True, False, 0, False))
            del work
            await done.wait()
            for _ in range(1_000):
                if left() is None:
                    break
                await asyncio.sleep(0.01)
            assert left() is None
            return left
        finally:
            worker.close()

    asyncio.run(inside())


# --- back to the system ---------------------------------------------------------------------------


class Clock:
    """`took`: by each return."""

    def __init__(self, took: float = 0.0) -> None:
        self.now, self.took = 100.0, took

    def __call__(self) -> float:
        return self.now

    def trim(self) -> None:
        self.now += self.took


def returns(took: float = 0.0) -> tuple[Returns, Clock]:
    clock = Clock(took)
    return Returns(clock, clock.trim), clock


def test_what_is_freed_goes_back_in_pieces_and_the_rest_when_it_is_quiet() -> None:
    found, clock = returns()
    size = 10 * RETURN_BYTES
    found.look(size, 0, more=False)
    assert found.count == 0
    for n in range(1, 11):
        clock.now += 0.1
        found.look(size - n * RETURN_BYTES // 2, 0, more=False)
    assert found.count == 5
    found.let_go(LEAST_RETURN_BYTES)
    found.look(size // 2, 0, more=False)
    assert found.count == 6
    for _ in range(10):
        found.look(size // 2, 0, more=False)
    assert found.count == 6


def test_once_more_a_while_after_the_last_piece() -> None:
    """Entries of the log and answers are freed after what was counted: 17 MiB of 200,000 counters
    that expired stayed free in the process."""
    found, clock = returns()
    found.look(2 * RETURN_BYTES, 0, more=False)
    found.look(0, 0, more=False)
    assert found.count == 1
    clock.now += LAST_S - 0.1
    found.look(0, 0, more=False)
    assert found.count == 1
    clock.now += 0.2
    found.look(0, 0, more=False)
    assert found.count == 2
    clock.now += 10 * LAST_S
    found.look(0, 0, more=False)
    assert found.count == 2, "for ever"


def test_old_tables_count_as_they_are_taken_apart() -> None:
    found, _ = returns()
    found.look(1 << 30, 0, more=False)
    found.look(0, 0, more=True)
    before = found.count
    for n in range(1, 9):
        found.look(0, n * RETURN_BYTES, more=n < 8)
    assert found.count == before + 8


def test_giving_back_takes_a_small_share_of_the_time_however_long_it_takes() -> None:
    found, clock = returns(took=0.05)
    begin = clock.now
    for n in range(1_000):
        clock.now += 0.1
        found.look(0, n * RETURN_BYTES, more=True)
    assert 10 < found.count < (clock.now - begin) * RETURN_SHARE / 0.05 + 2


def test_another_c_library_goes_its_own_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_library", lambda: SimpleNamespace())
    memory.settle()
    memory.trim()


def test_tables_that_are_taken_apart_are_counted() -> None:
    log: Any = filled()
    log.run([o.FLUSH])
    before = log.machine.tidied_bytes
    while log.machine.untidy:
        log.machine.tidy()
    assert log.machine.tidied_bytes - before >= 5_000 * 100

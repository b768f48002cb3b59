"""What a running node makes of a disk job that went wrong: a failed disk, a full one, or an error
of its own."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from counter_node.counters import ops as o
from counter_node.net.unready import Unready
from counter_node.node.node import EndedByErrorError, Node
from counter_node.ports import free_ports
from counter_node.settings import SEGMENT_BYTES, Settings
from counter_node.storage import DiskFullError, Failpoints


def settings(directory: Path) -> Settings:
    resp, peer, admin, http = free_ports(4)
    ports = {"resp_port": resp, "peer_port": peer, "admin_port": admin, "http_port": http}
    return Settings(
        cluster_id="c",
        data_dir=str(directory),
        name="n",
        bind="127.0.0.1",
        tick_ms=20,
        segment_bytes=SEGMENT_BYTES,
        **ports,
    )


async def bootstrapped(directory: Path, monkeypatch: pytest.MonkeyPatch, faults: str) -> Node:
    """A node alone, ready; the faults count from here on."""
    points = Failpoints("")
    monkeypatch.setattr(Failpoints, "from_environment", lambda: points)
    node = Node(settings(directory))
    await node.start()
    node.bootstrap()
    await until(lambda: not node.unready())
    points._rules = Failpoints(faults)._rules
    return node


async def until(condition: object) -> None:
    assert callable(condition)
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def write(node: Node) -> None:
    await until(lambda: node.replica.gateway.session is not None)
    node.replica.submit_write(Token(), [b"k"])
    node.wake()


class Token:
    """As much of a connection's pending replies as the delivery of replies asks for."""

    write = True
    born_s = 0.0

    def __init__(self) -> None:
        self.owner = self
        self.replies: list[object] = []

    def answered(self, pending: object, replies: list[object]) -> None:
        self.replies = replies

    def flush(self) -> None:
        pass


@pytest.mark.parametrize("place", ["storage.write.wal", "storage.sync.wal"])
def test_an_error_that_is_not_the_disk_s_ends_the_node_and_is_no_failed_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    async def inside() -> None:
        node = await bootstrapped(tmp_path, monkeypatch, f"{place}=bug")
        await write(node)
        await until(node.fatal.done)
        assert isinstance(node.fatal.exception(), EndedByErrorError)
        assert not node.failed
        await node.stop()

    asyncio.run(inside())


@pytest.mark.parametrize(("fault", "ends"), [("bug", True), ("eio", False)])
def test_what_goes_wrong_with_a_snapshot_of_its_own_is_distinguished_in_the_same_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, ends: bool
) -> None:
    async def inside() -> None:
        node = await bootstrapped(tmp_path, monkeypatch, f"storage.write.snap={fault}")
        await write(node)
        await until(lambda: node.replica.applied > node.replica.raft.snapshot.index)
        node.snapshots.take_soon()
        await until(lambda: node.fatal.done() or node.failed)
        assert (node.fatal.done(), bool(node.failed)) == (ends, not ends)
        if node.fatal.done():
            node.fatal.exception()
        await node.stop()

    asyncio.run(inside())


def test_a_failed_write_is_a_failed_disk_and_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def inside() -> None:
        node = await bootstrapped(tmp_path, monkeypatch, "storage.write.wal=eio")
        await write(node)
        await until(lambda: node.failed)
        assert not node.fatal.done()
        letting_go = Unready(node, 0.1)
        assert not letting_go.tick(0.0)
        assert letting_go.tick(1.0)
        assert letting_go.refusal is not None
        assert letting_go.refusal.startswith(b"MISCONF this node is not ready for 1 s: the disk f")
        await node.stop()

    asyncio.run(inside())


def test_a_frame_without_room_waits_is_reported_and_is_written_when_there_is_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def inside() -> None:
        node = await bootstrapped(tmp_path, monkeypatch, "")
        storage, full = node.storage, [True]
        real = storage._segments.append

        def append(turn: object, state: object) -> None:
            if full[0]:
                raise DiskFullError("no room for a segment")
            real(turn, state)  # type: ignore[arg-type]

        monkeypatch.setattr(storage._segments, "append", append)
        before = node.replica.applied
        await write(node)
        await until(lambda: node.replica.room.plain == 0)
        assert not node.failed
        assert not node.fatal.done()
        full[0] = False
        await until(lambda: node.replica.applied > before and not node.replica.room.full)
        await node.stop()

    asyncio.run(inside())


def test_a_disk_that_goes_on_to_the_next_segment_is_not_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rotation takes as long as some syncs, and nothing stands ready meanwhile: the look at the
    disk came just then."""

    async def inside() -> None:
        node = await bootstrapped(tmp_path, monkeypatch, "")
        storage, goes_on, rooms = node.storage, threading.Event(), []
        append, sync = storage._segments.append, storage.sync

        def rotating(turn: object, state: object) -> None:
            append(turn, state)  # type: ignore[arg-type]
            storage._segments.has_reserve = False

        def slow() -> None:
            goes_on.wait(20)
            storage._segments.has_reserve = True
            sync()

        monkeypatch.setattr(storage._segments, "append", rotating)
        monkeypatch.setattr(storage, "sync", slow)
        node.worker.policy._careful = 1_000  # on the thread: a look comes meanwhile
        monkeypatch.setattr(node.replica, "room_left", lambda room, _: rooms.append(room))
        before = node.replica.applied
        await write(node)
        await until(lambda: node.replica.writing and storage.room_bytes is not None)
        node.disk.mind(again=True)
        assert rooms == []
        goes_on.set()
        await until(lambda: node.replica.applied > before)
        assert set(rooms) <= {None}
        await node.stop()

    asyncio.run(inside())


def test_who_asks_for_a_snapshot_gets_an_index_only_when_it_is_in_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def inside() -> None:
        node = await bootstrapped(tmp_path, monkeypatch, "")
        await write(node)
        await until(lambda: node.replica.applied > node.replica.raft.snapshot.index)
        applied = node.replica.applied
        assert await node.admin.execute([b"RAFT.SNAPSHOT"]) >= applied
        assert node.replica.raft.snapshot.index >= applied
        assert await node.admin.execute([b"RAFT.SNAPSHOT"]) >= applied, (
            "what is in force covers all"
        )
        Failpoints.from_environment()._rules = Failpoints("storage.allocate.snap=enospc")._rules  # type: ignore[union-attr]
        await write(node)
        await until(lambda: node.replica.applied > node.replica.raft.snapshot.index)
        refused = await node.admin.execute([b"RAFT.SNAPSHOT"])
        assert refused.startswith(b"ERR no snapshot was taken: "), refused
        assert b"no room for a snapshot" in refused
        await node.stop()

    asyncio.run(inside())


def test_on_a_full_disk_old_segments_go_though_nobody_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FLUSHALL was answered and its snapshot was saved; the segments stayed until the next write,
    which was refused for want of room."""

    async def inside() -> None:
        node = await bootstrapped(tmp_path, monkeypatch, "")
        storage, compacted = node.storage, list[int]()
        real = storage.compact
        monkeypatch.setattr(
            storage, "compact", lambda index: (compacted.append(index), real(index))[1]
        )
        monkeypatch.setattr(type(storage), "room_bytes", property(lambda self: 1 << 20))
        await until(lambda: node.replica.room.full)
        node.snapshots.take_soon(again=True)
        await until(lambda: bool(compacted))
        monkeypatch.undo()
        await node.stop()

    asyncio.run(inside())


def test_a_snapshot_that_found_no_room_is_tried_again_when_the_state_is_smaller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counters expired soon after it had failed, and writes were refused for the whole pause."""

    async def inside() -> None:
        node = await bootstrapped(tmp_path, monkeypatch, "")
        points = Failpoints.from_environment()
        assert points is not None
        replica = node.replica
        await until(lambda: replica.gateway.session is not None)
        replica.submit_write(Token(), [b"k%d" % n for n in range(4_000)])
        node.wake()
        await until(lambda: len(replica.machine.values) == 4_000)
        points._rules = Failpoints("storage.allocate.snap=enospc@1+")._rules
        node.snapshots.take_soon()
        await until(lambda: bool(node.snapshots.refused))
        points._rules = Failpoints("")._rules
        before = replica.raft.snapshot.index
        node.snapshots.take_soon()
        assert not node.snapshots.busy, "the state is what it was"
        replica.submit_write(Token(), [[o.FLUSH]])
        node.wake()
        await until(lambda: not replica.machine.values)
        node.snapshots.take_soon()
        await until(lambda: replica.raft.snapshot.index > before)
        await node.stop()

    asyncio.run(inside())

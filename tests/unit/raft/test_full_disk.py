"""A node whose disk can take only so much: it takes no more than that, refuses its clients' writes,
and goes on answering."""

from __future__ import annotations

import pytest
from counter_node.counters import ops
from counter_node.counters.machine import Machine
from counter_node.counters.replies import Failure
from counter_node.raft.messages import (
    Append,
    AppendResponse,
    Heartbeat,
    HeartbeatResponse,
    InstallSnapshot,
    VoteRequest,
)
from counter_node.raft.types import Entry, EntryKind, SnapshotMeta
from counter_node.replica.disk_jobs import SAVE_AGAIN_TICKS, DiskJob
from counter_node.replica.replica import Replica

from tests.support.unit.full_disk import follower, replica
from tests.support.unit.raft_network import membership


def append(index: int, size: int) -> Append:
    return Append(1, index - 1, 1, 0, [Entry(index, 1, EntryKind.DATA, b"x" * size)])


def test_entries_that_do_not_fit_are_lost_on_the_way_and_those_that_fit_are_taken() -> None:
    node = replica()
    node.receive(1, append(2, 50))
    assert node.raft.log.last_index == 2
    node.receive(1, append(3, 5_000))
    assert node.raft.log.last_index == 2
    node.receive(1, append(3, 1))
    assert node.raft.log.last_index in (2, 3)
    node.room_left(None)
    node.receive(1, append(node.raft.log.last_index + 1, 5_000))
    assert node.raft.log.entries[-1].data == b"x" * 5_000


def test_what_is_on_its_way_to_the_disk_counts() -> None:
    node = replica()
    node.room_left(1_000)
    node.receive(1, append(2, 600))
    node.room_left(1_000)  # nothing of it is written yet
    node.receive(1, append(3, 600))
    assert node.raft.log.last_index == 2
    turn = node.turn()
    assert turn.job is not None
    node.room_left(1_000)  # still on its way
    node.receive(1, append(3, 600))
    assert node.raft.log.last_index == 2


def test_it_still_answers_heartbeats() -> None:
    node = replica()
    node.room_left(0)
    node.receive(1, Heartbeat(1, 1, 7))
    assert any(isinstance(m, HeartbeatResponse) for _, m in node.turn().messages)
    node.receive(1, Append(1, 1, 1, 1, []))
    turn = node.turn()
    assert any(isinstance(m, AppendResponse) for _, m in turn.messages)


def test_writes_of_its_clients_are_refused_with_the_reason_and_reads_are_not() -> None:
    node = replica()
    node.submit_write("w", [ops.incr(b"k"), ops.incr(b"k")])
    node.submit_read("r", [ops.get(b"k")])
    replies = node.turn().replies
    assert [token for token, _ in replies] == ["w"]
    assert all(
        isinstance(r, Failure) and r.startswith(b"MISCONF the disk of this node is nearly full")
        for r in replies[0][1]
    )
    assert node.gateway.reads.wanted


META = SnapshotMeta(50, 1, membership(2))


def piece(index: int = 50, term: int = 1) -> InstallSnapshot:
    return InstallSnapshot(
        term, SnapshotMeta(index, 1, membership(2)), 0, Machine().snapshot(), True
    )


def written(node: Replica, *, no_room: bool = False) -> tuple[DiskJob, int | None, list[object]]:
    turn = node.turn()
    assert turn.job is not None
    keep_from = node.persisted(turn.job, no_room=no_room)
    return turn.job, keep_from, [m for _, m in node.take_released()]


def test_a_received_snapshot_is_used_only_when_its_file_is_saved() -> None:
    node = follower()
    node.receive(1, piece())
    job, keep_from, released = written(node)
    assert (job.install is not None, job.writes, keep_from, released) == (True, False, None, [])
    job, keep_from, released = written(node)
    assert (job.marker, keep_from, node.applied) == (META, 51, 50)
    assert released == [AppendResponse(1, True, 50)]


def test_on_a_full_disk_a_snapshot_of_the_leaders_is_taken_and_refused_only_by_its_file() -> None:
    """A small one finds room, and lets the log go. It was dropped on the way: a member that was
    behind stayed behind, and full, for ever."""
    node = follower()
    node.room_left(0, 1_000)
    node.receive(1, piece())
    written(node)
    written(node)
    assert node.applied == 50


def test_a_snapshot_that_finds_no_room_changes_nothing_and_is_tried_again() -> None:
    node = follower()
    node.receive(1, piece())
    written(node, no_room=True)
    assert (node.jobs.snapshot_waits, node.applied, node.raft.log.last_index) == (True, 1, 1)
    node.receive(1, append(2, 10))
    job, _, released = written(node)
    assert (job.install, len(job.entries), released) == (None, 1, [AppendResponse(1, True, 2)]), (
        "it goes on in the meantime"
    )
    node.receive(1, piece())
    assert node.turn().job is None, (
        "the leader that sends it again is not believed to have sent another"
    )
    for _ in range(SAVE_AGAIN_TICKS):
        node.receive(1, Heartbeat(1, 1, 0))
        node.tick()
    job, _, _ = written(node)
    assert job.install is not None
    assert not node.jobs.snapshot_waits
    written(node)
    assert node.applied == 50


def test_what_the_log_caught_up_with_while_a_snapshot_waited_is_kept() -> None:
    node = follower()
    node.receive(1, piece(3))
    first = node.turn().job
    node.receive(1, Append(1, 1, 1, 4, [Entry(i, 1, EntryKind.NOOP, b"") for i in (2, 3, 4)]))
    assert first is not None
    node.persisted(first)
    job, _, released = written(node)
    assert (job.marker, len(job.entries), node.raft.log.last_index) == (None, 3, 4)
    assert AppendResponse(1, True, 4) in released


def test_a_second_snapshot_during_the_first_compacts_no_further_than_what_is_in_force() -> None:
    node = follower()
    node.receive(1, piece(50))
    first = node.turn().job
    node.receive(3, piece(90, 2))
    assert first is not None
    assert node.persisted(first) is None
    job, keep_from, _ = written(node)
    assert job.marker is not None
    assert job.install is not None
    assert (job.marker.index, job.install.meta.index, keep_from) == (50, 90, 51)
    job, keep_from, _ = written(node)
    assert (job.marker is not None and job.marker.index, keep_from, node.applied) == (90, 91, 90)


def test_a_snapshot_of_its_own_that_begins_right_after_one_was_adopted_holds_the_new_state() -> (
    None
):
    """What it is called and what is in it would differ otherwise, and it would take the place of
    the right one."""
    node = follower()
    machine = Machine()
    machine._state.put(b"k", 7)
    node.receive(1, InstallSnapshot(1, META, 0, machine.snapshot(), True))
    written(node)
    meta, dump = node.begin_snapshot()
    while not dump.step():
        pass
    assert (meta.index, Machine.restore(dump.finish()).values) == (50, {b"k": 7})


@pytest.mark.parametrize("failed", [True, False])
def test_a_disk_that_takes_nothing_makes_nothing_grow(failed: bool) -> None:
    """Failed for good, or only slow: the answers that wait for it are one of a kind for each
    member."""
    node = follower()
    node.receive(1, append(2, 10))
    assert node.turn().job is not None
    if failed:
        node.fail_disk()
    for index in range(3, 2_000):
        node.receive(1, Append(1, 2, 1, 1, []))
        node.receive(3, VoteRequest(index, False, 99, 1))
        node.receive(1, Append(index, 2, 1, 1, []))
        node.turn()
    assert len(node.raft._after) <= 4


@pytest.mark.parametrize("full", [True, False])
def test_on_a_full_disk_a_snapshot_lets_all_go_that_it_covers(full: bool) -> None:
    """Else what is kept for others would keep the last segments, and nothing would make room."""
    node = follower()
    for index in range(2, 12):
        node.receive(1, Append(1, index - 1, 1, index, [Entry(index, 1, EntryKind.NOOP, b"")]))
    written(node)
    node.turn()
    node.room_left(0 if full else None)
    node.snapshot_saved(node.take_snapshot().meta)
    _, keep_from, _ = written(node)
    assert keep_from == (12 if full else 2)

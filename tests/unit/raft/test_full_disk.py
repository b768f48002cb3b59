"""A node whose disk can take only so much: it takes no more than that, refuses its clients' writes, and goes on answering."""

from __future__ import annotations

from counter_node.counters import ops
from counter_node.counters.ops import is_write
from counter_node.counters.replies import Failure
from counter_node.gateway import Gateway
from counter_node.raft.core import Config
from counter_node.raft.messages import Append, AppendResponse, Heartbeat, HeartbeatResponse, InstallSnapshot
from counter_node.raft.types import Entry, EntryKind, HardState, Member, SnapshotMeta
from counter_node.replica import ENTRY_BYTES, Replica, first_snapshot


def replica() -> Replica:
    gateway = Gateway(1, is_write=is_write, tick_ms=10, patience_ticks=100, retry_ticks=10)
    first = first_snapshot(Member(1, "n1", "n1:1", "n1:2", True))
    made = Replica(Config(2), HardState(1, 0, 1), first, [], gateway=gateway, clock_ms=lambda: 0, randint=lambda a, b: a)
    made.room_left(3 * ENTRY_BYTES + 100)
    return made


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


def test_it_still_answers_heartbeats_and_takes_no_snapshot() -> None:
    node = replica()
    node.room_left(0)
    node.receive(1, Heartbeat(1, 1, 7))
    assert any(isinstance(m, HeartbeatResponse) for _, m in node.turn().messages)
    node.receive(1, InstallSnapshot(1, SnapshotMeta(50, 1)))
    assert node.raft.log.last_index == 1
    node.receive(1, Append(1, 1, 1, 1, []))
    turn = node.turn()
    assert any(isinstance(m, AppendResponse) for _, m in turn.messages)


def test_writes_of_its_clients_are_refused_with_the_reason_and_reads_are_not() -> None:
    node = replica()
    node.submit_write("w", [ops.incr(b"k"), ops.incr(b"k")])
    node.submit_read("r", [ops.get(b"k")])
    replies = node.turn().replies
    assert [token for token, _ in replies] == ["w"]
    assert all(isinstance(r, Failure) and r.startswith(b"MISCONF the disk of this node is nearly full") for r in replies[0][1])
    assert node.gateway.reads

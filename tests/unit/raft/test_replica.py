"""What the replica adds to the core: time in the log, stalls, and the order in which things reach
the disk. No network."""

from __future__ import annotations

from pathlib import Path

from counter_node.counters import batches, ops
from counter_node.counters.ops import is_write
from counter_node.raft.messages import (
    Append,
    AppendResponse,
    Heartbeat,
    HeartbeatResponse,
    ReadRequest,
    ReadResponse,
    VoteResponse,
)
from counter_node.raft.state import Config
from counter_node.raft.types import Entry, EntryKind, HardState, Member, Snapshot
from counter_node.replica.disk_jobs import DiskJob
from counter_node.replica.founding import first_snapshot
from counter_node.replica.gateway import Gateway
from counter_node.replica.log_time import Clocks
from counter_node.replica.peer_messages import Forward
from counter_node.replica.replica import Replica
from counter_node.replica.time_entries import LOG_TIME_STEP_MS
from counter_node.storage import Storage

from tests.support.unit.lone_replica import EPOCH_MS, Alone


def follower_with_committed_work() -> Alone:
    """It hears of entry 3 together with the news that entry 2 is committed."""
    node = Alone(voters=3)
    node.replica.receive(2, Append(2, 1, 1, 1, [Entry(2, 2, EntryKind.NOOP, b"")]))
    node.turn()
    assert node.replica.applied == 1
    node.replica.receive(2, Append(2, 2, 2, 2, [Entry(3, 2, EntryKind.NOOP, b"")]))
    return node


def test_a_follower_acknowledges_before_it_applies_what_nobody_here_waits_for() -> None:
    node = follower_with_committed_work()
    turn = node.replica.turn()
    assert turn.job is not None
    assert node.replica.applied == 1
    node.replica.persisted(turn.job)
    assert node.replica.take_released() == [(2, AppendResponse(2, True, 3))]
    assert node.replica.applying.unfinished, "so that the driver makes another turn"
    node.replica.turn()
    assert node.replica.applied == 2


def test_a_follower_whose_client_waits_applies_at_once() -> None:
    node = follower_with_committed_work()
    node.replica.submit_write(None, [ops.incr(b"k")])
    node.replica.turn()
    assert node.replica.applied == 2


def test_applying_is_put_off_for_two_turns_at_most() -> None:
    node = follower_with_committed_work()
    for number in range(3):
        assert node.replica.applied == 1, number
        turn = node.replica.turn()
        if turn.job is not None:
            node.held = turn.job
        node.replica.receive(2, Heartbeat(2, 2, number))  # something to answer in each turn
    assert node.replica.applied == 2


EXPIRING = [ops.SET, b"k", 5, ops.ALWAYS, None, ops.EX_IN, 60_000, False]


def test_log_time_goes_on_while_nobody_writes_as_long_as_something_expires() -> None:
    node = Alone()
    node.lead()
    node.write(EXPIRING)
    assert node.replica.machine.next_expiry_ms() is not None
    before = node.replica.applied
    node.tick(50)
    assert EPOCH_MS + 5_000 - node.replica.machine.time_ms <= LOG_TIME_STEP_MS
    assert node.replica.applied - before <= 6, "one Tick a second, not one a tick"


def test_a_counter_past_its_deadline_is_not_read_even_before_the_next_tick() -> None:
    node = Alone()
    node.lead()
    node.write(EXPIRING)
    node.now_ms = EPOCH_MS + 60_000
    assert read(node, b"k") is None


def test_a_read_waits_only_while_something_is_due() -> None:
    node = Alone()
    node.lead()
    node.write(EXPIRING)
    before = node.replica.applied
    node.now_ms = EPOCH_MS + 59_999
    assert read(node, b"k") == b"5"
    assert node.replica.applied == before, "no entry for a read"


def test_a_follower_that_asks_is_answered_after_the_time_of_what_is_due() -> None:
    node = Alone(voters=2)
    node.lead()
    node.replica.submit_write(None, [EXPIRING])
    for _ in range(3):
        node.turn()
        node.replica.receive(2, AppendResponse(2, True, node.replica.raft.log.last_index))
    node.turn()
    assert node.replica.machine.next_expiry_ms() is not None
    node.now_ms += 60_000
    node.replica.receive(2, ReadRequest(2, 7))
    node.turn()
    node.replica.receive(2, AppendResponse(2, True, node.replica.raft.log.last_index))
    node.turn()
    assert b"k" not in node.replica.machine.values
    position = node.replica.raft.leadership._reads.position  # type: ignore[union-attr]
    node.replica.receive(2, HeartbeatResponse(2, position))
    answers = [m for to, m in node.replica.turn().messages if isinstance(m, ReadResponse)]
    assert [(m.id, m.index) for m in answers] == [(7, node.replica.applied)]


def test_reads_that_waited_are_dropped_with_the_leadership() -> None:
    node = Alone(voters=2)
    node.lead()
    node.replica.submit_write(None, [EXPIRING])
    for _ in range(3):
        node.turn()
        node.replica.receive(2, AppendResponse(2, True, node.replica.raft.log.last_index))
    node.turn()
    node.now_ms += 60_000
    node.replica.receive(2, ReadRequest(2, 7))
    node.replica.raft.step_down()
    assert not [
        m for _, m in node.replica.turn().messages if isinstance(m, ReadRequest | ReadResponse)
    ]


def read(node: Alone, key: bytes) -> object:
    node.replica.submit_read("read", [ops.get(key)])
    for _ in range(10):
        turn = node.replica.turn()
        if turn.job is not None:
            node.replica.persisted(turn.job)
        if turn.replies:
            return turn.replies[0][1][0]
    raise AssertionError("not answered")


def test_log_time_stands_still_while_nothing_expires() -> None:
    node = Alone()
    node.lead()
    node.write([ops.INCRBY, b"k", 1])
    before = node.replica.applied
    node.tick(50)
    assert node.replica.applied == before


def test_a_tick_that_is_not_committed_is_not_followed_by_others() -> None:
    node = Alone()
    node.lead()
    node.write(EXPIRING)
    last = node.replica.raft.log.last_index
    for _ in range(30):
        node.now_ms += 200
        node.replica.tick()
        if node.held is None:
            node.turn(hold=True)
    assert node.replica.raft.log.last_index == last + 1


def test_a_leader_that_stood_still_for_an_election_timeout_gives_up() -> None:
    node = Alone(voters=2)
    node.lead()
    node.replica.stalled(9)
    assert node.replica.is_leader
    node.replica.stalled(10)
    assert not node.replica.is_leader


def test_a_stall_runs_no_election_timer_and_does_not_trouble_who_is_alone() -> None:
    follower = Alone(voters=3)
    follower.tick(9)
    follower.replica.stalled(500)
    assert follower.replica.raft.role.value == "follower"
    alone = Alone()
    alone.lead()
    alone.replica.stalled(500)
    assert alone.replica.is_leader


def test_a_disk_that_does_not_answer_ends_leadership() -> None:
    node = Alone(voters=2)
    node.lead()
    node.replica.raft.propose(b"\0" * 8 + b"\x91\x02")
    node.turn(hold=True)
    for _ in range(9):
        node.replica.tick()
        node.replica.receive(2, AppendResponse(2, True, 2))
    assert node.replica.is_leader
    node.replica.tick()
    assert not node.replica.is_leader


def test_clients_of_a_node_whose_disk_failed_are_answered_at_once() -> None:
    node = Alone(voters=2)
    node.lead()
    node.replica.submit_read("read", [[ops.GET, b"k"]])
    node.replica.submit_write("on its way", [[ops.INCRBY, b"k", 1]])
    node.turn(hold=True)
    node.replica.submit_write("waits", [[ops.INCRBY, b"k", 1]])
    node.replica.fail_disk()
    assert not node.replica.is_leader
    node.replica.submit_write("later", [[ops.INCRBY, b"k", 1]])
    node.replica.submit_read("later read", [[ops.GET, b"k"]])
    answers = {
        token: bytes(replies[0]).split()[0] for token, replies in node.replica.turn().replies
    }
    assert answers == {
        "on its way": b"UNKNOWN",
        "read": b"MISCONF",
        "waits": b"MISCONF",
        "later": b"MISCONF",
        "later read": b"MISCONF",
    }
    assert node.replica.gateway.nobody_waits
    node.tick(200)
    assert node.replica.raft.role.value == "follower"


def test_a_snapshot_beyond_what_is_durable_here_is_named_only_after_its_entries(
    tmp_path: Path,
) -> None:
    """Others commit entries that this disk is still waiting for; a snapshot of them is quick. The
    storage refuses entries that a snapshot covers."""
    node = Alone(voters=3)
    storage, _ = Storage.open(tmp_path, "c", segment_bytes=1 << 20)
    first = node.replica.take_snapshot()
    storage.save_snapshot(first)
    storage.write(HardState(1, 0, 1), [], first.meta)
    storage.sync()
    jobs: list[DiskJob] = []
    node.replica.raft.campaign()
    replica = node.replica
    replica.receive(2, VoteResponse(2, True, True))
    vote = replica.turn().job
    assert vote is not None
    storage.write(vote.hard_state, vote.entries, None)
    storage.sync()
    replica.persisted(vote)
    replica.receive(2, VoteResponse(2, False, True))
    slow = replica.turn().job
    assert slow is not None, "the no-op is being written"
    replica.raft.propose(b"\0" * 8 + b"\x91\x02")
    replica.turn()
    last = replica.raft.log.last_index
    assert last > slow.entries[-1].index
    for other in (2, 3):
        replica.receive(other, AppendResponse(2, True, last))
    replica.turn()
    assert replica.applied == last
    taken = replica.take_snapshot()
    storage.save_snapshot(taken)
    replica.snapshot_saved(taken.meta)
    job: DiskJob | None = slow
    while job is not None:
        jobs.append(job)
        storage.write(job.hard_state, job.entries, job.marker)
        storage.sync()
        replica.persisted(job)
        job = replica.turn().job
    assert [j.marker for j in jobs if j.marker is not None] == [taken.meta]
    storage.close()
    again, found = Storage.open(tmp_path, "c", segment_bytes=1 << 20)
    assert found.snapshot == taken
    assert [e.index for e in found.behind] == list(range(2, last + 1))
    again.close()


def restarted(state: HardState, snapshot: Snapshot, entries: list[Entry]) -> Replica:
    return Replica(
        Config(1),
        state,
        snapshot,
        entries,
        gateway=Gateway(99, is_write=is_write, tick_ms=100, patience_ticks=35, retry_ticks=5),
        clocks=Clocks(lambda: 0),
        randint=lambda low, high: low,
    )


def test_entries_behind_the_snapshot_are_used_after_a_restart() -> None:
    start = first_snapshot(Member(1, "n1", "n1:1", "n1:2", True))
    meta = type(start.meta)(5, 1, start.meta.membership)
    entries = [Entry(i, 1, EntryKind.NOOP, b"") for i in range(2, 8)]
    replica = restarted(HardState(1, 0, 6), Snapshot(meta, start.state), entries)
    log = replica.raft.log
    assert (log.offset, log.applied, log.committed, log.last_index) == (2, 5, 6, 7)


def test_entries_that_do_not_fit_the_snapshot_are_not_kept_behind_it() -> None:
    start = first_snapshot(Member(1, "n1", "n1:1", "n1:2", True))
    meta = type(start.meta)(5, 3, start.meta.membership)
    entries = [Entry(i, 1, EntryKind.NOOP, b"") for i in range(2, 6)]
    replica = restarted(HardState(3, 0, 5), Snapshot(meta, start.state), entries)
    assert (replica.raft.log.offset, replica.raft.log.last_term) == (5, 3)


def test_what_a_removed_node_sends_on_does_not_grow_the_log() -> None:
    node = Alone(voters=2)
    node.lead()
    before = node.replica.raft.log.last_index
    batch = Forward(batches.encode_batch(1, 1, [b"k"]))
    node.replica.receive(3, batch)
    node.turn()
    assert node.replica.raft.log.last_index == before
    node.replica.receive(2, batch)
    assert node.replica.raft.log.last_index == before + 1


def test_what_was_gathered_while_a_batch_was_in_flight_is_reported() -> None:
    """One client waited for the next tick, as long as nothing else came."""
    node = Alone()
    node.lead()
    node.write(ops.incr(b"k"))
    replica = node.replica
    replica.submit_write("first", [ops.incr(b"k")])
    job = replica.turn().job
    assert job is not None
    replica.submit_write("second", [ops.incr(b"k")])
    assert not replica.turn().gathered, "a batch is in flight"
    replica.persisted(job)
    turn = replica.turn()
    assert [token for token, _ in turn.replies] == ["first"]
    assert turn.gathered
    following = replica.turn()
    assert following.job is not None
    assert not following.gathered
    replica.persisted(following.job)
    turn = replica.turn()
    assert [token for token, _ in turn.replies] == ["second"]
    assert not turn.gathered


def test_reads_that_were_gathered_while_others_were_asked_for_are_reported() -> None:
    node = Alone(voters=3)
    node.lead()
    replica = node.replica
    replica.submit_read("first", [ops.get(b"k")])
    heartbeat = next(
        message for _, message in replica.turn().messages if isinstance(message, Heartbeat)
    )
    replica.submit_read("second", [ops.get(b"k")])
    replica.receive(2, HeartbeatResponse(2, heartbeat.read))
    turn = replica.turn()
    assert [token for token, _ in turn.replies] == ["first"]
    assert turn.gathered
    assert any(isinstance(message, Heartbeat) for _, message in replica.turn().messages)


def test_a_leader_that_is_settled_says_so() -> None:
    node = Alone(voters=3)
    node.lead()
    replica = node.replica
    last = replica.raft.log.last_index
    replica.receive(3, AppendResponse(2, True, last))
    node.turn()
    assert replica.turn_would_do_nothing
    replica.submit_write(None, [ops.incr(b"k")])
    assert not replica.turn_would_do_nothing
    turn = replica.turn()
    assert turn.job is not None
    assert replica.turn_would_do_nothing, "its own disk and the others are asked"
    replica.persisted(turn.job)
    assert replica.turn_would_do_nothing, "one of three has it"
    replica.receive(2, AppendResponse(2, True, last + 1))
    assert not replica.turn_would_do_nothing, "there is something to apply"


def test_a_replica_that_starts_with_a_long_log_is_behind_until_it_has_applied_it() -> None:
    """No snapshot is begun meanwhile (node/)."""
    node = Alone()
    entries = [
        Entry(n, 1, EntryKind.DATA, batches.stamp(EPOCH_MS, batches.encode_open(n)))
        for n in range(2, 12)
    ]
    old = node.replica
    again = Replica(
        Config(1), HardState(1, 0, 11), Snapshot(old.raft.snapshot, old.machine.snapshot()),
        entries,
        gateway=old.gateway, clocks=Clocks(lambda: EPOCH_MS), randint=lambda low, high: low,
    )  # fmt: skip
    assert again.behind == 10
    again.turn()
    assert again.behind == 0

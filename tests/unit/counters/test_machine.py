"""What each entry does to the state (machine.py)."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest
from counter_node.counters import batches, sessions
from counter_node.counters import ops as o
from counter_node.counters.batches import Op, OutcomeKind
from counter_node.counters.machine import Machine, SnapshotFormatError, UnknownOperationError
from counter_node.counters.replies import OK, Failure
from counter_node.counters.state import MAX, MIN, State

from tests.support.unit.machine_log import Log, set_


@pytest.fixture
def log() -> Log:
    return Log()


# --- batches --------------------------------------------------------------------------------------


def test_a_batch_is_executed_once_however_often_it_is_in_the_log(log: Log) -> None:
    body = batches.encode_batch(log.session, 1, [[o.INCRBY, b"k", 1]])
    assert [log.append(body).kind for _ in range(3)] == [
        OutcomeKind.EXECUTED,
        OutcomeKind.DUPLICATE,
        OutcomeKind.DUPLICATE,
    ]
    assert log.machine.values == {b"k": 1}


def test_a_batch_that_comes_too_early_is_not_executed_and_not_remembered(log: Log) -> None:
    second = batches.encode_batch(log.session, 2, [[o.INCRBY, b"k", 10]])
    assert log.append(second).kind is OutcomeKind.GAP
    assert log.run([o.INCRBY, b"k", 1]) == [1]
    assert log.append(second).kind is OutcomeKind.EXECUTED
    assert log.machine.values == {b"k": 11}


def test_a_session_that_is_not_known_is_never_made_by_its_batch(log: Log) -> None:
    for number in (0, 1, 2):
        outcome = log.append(batches.encode_batch(999, number, [[o.INCRBY, b"k", 1]]))
        assert (outcome.kind, outcome.session, outcome.number) == (
            OutcomeKind.UNKNOWN_SESSION,
            999,
            number,
        )
    assert log.machine.values == {}


def test_a_session_is_forgotten_after_an_hour_of_log_time(log: Log) -> None:
    log.time_ms += sessions.TTL_MS - 1
    assert log.run([o.INCRBY, b"k", 1]) == [1]
    log.tick(sessions.TTL_MS)
    body = batches.encode_batch(log.session, 2, [[o.INCRBY, b"k", 1]])
    assert log.append(body).kind is OutcomeKind.UNKNOWN_SESSION
    assert log.machine.last_number(log.session) is None


def test_the_session_idle_longest_makes_room_for_a_new_one(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "MOST", 3)
    second, third = (log.append(batches.encode_open(n)).session for n in (2, 3))
    log.run([o.INCRBY, b"k", 1])  # the first session is now the freshest
    fourth = log.append(batches.encode_open(4)).session
    known = [
        s for s in (log.session, second, third, fourth) if log.machine.last_number(s) is not None
    ]
    assert known == [log.session, third, fourth]


def test_replicas_agree_at_the_key_limit_whatever_reads_the_gateway_puts_between() -> None:
    """The gateway runs its own list, the others what is in the log: where one looks at the limit,
    all must."""
    writes = [[o.INCRBY, b"%d" % n, 1] for n in range(5)]
    with_reads = [op for write in writes for op in (write, [o.DBSIZE])]
    machines = [Machine(max_keys=3), Machine(max_keys=3)]
    for machine, own in zip(machines, (with_reads, None), strict=True):
        session = machine.apply(
            1, batches.stamp(1, batches.encode_open(1)), lambda s, n: None
        ).session
        machine.apply(
            2, batches.stamp(1, batches.encode_batch(session, 1, writes)), lambda s, n, own=own: own
        )
    assert machines[0].values == machines[1].values == {b"0": 1, b"1": 1, b"2": 1}
    assert machines[0].checksum() == machines[1].checksum()


def test_the_limit_of_keys_is_named_and_is_part_of_the_state() -> None:
    log = Log(Machine(max_keys=2))
    assert log.run(set_(b"a", 1), set_(b"b", 1)) == [OK, OK]
    refused = Failure(b"OOM too many counters; at most 2")
    pairs = [o.MSET, [b"a", 5, b"c", 5], False]
    assert (
        log.run(
            set_(b"c", 1),
            [o.INCRBY, b"c", 1],
            [o.INCREX, b"c", 1, MIN, MAX, False, o.EX_KEEP, 0, False],
            pairs,
        )
        == [refused] * 4
    )
    assert log.run([o.INCRBY, b"a", 1], set_(b"b", 7), [o.MSET, [b"a", 3, b"a", 4], False]) == [
        2,
        OK,
        OK,
    ]
    copy = Log(Machine.restore(Log(Machine(max_keys=2)).machine.snapshot()))
    assert copy.run(set_(b"a", 1), set_(b"b", 1), set_(b"c", 1)) == [OK, OK, refused]


def test_an_operation_of_a_newer_version_stops_the_node_instead_of_being_skipped(log: Log) -> None:
    with pytest.raises(UnknownOperationError, match="operation 250"):
        log.run([250, b"k"])


# --- reads ----------------------------------------------------------------------------------------


def test_a_read_that_would_write_is_refused(log: Log) -> None:
    for op in (
        [o.INCRBY, b"k", 1],
        [o.MULTI, [[o.GET, b"k"], [o.DEL, [b"k"]]]],
        [o.IDMP, b"p", 1, [o.GET, b"k"]],
    ):
        with pytest.raises(ValueError, match="must go through the log"):
            log.machine.read([[o.GET, b"k"], op])


# --- time -----------------------------------------------------------------------------------------


def test_a_key_is_gone_at_its_deadline_and_not_before(log: Log) -> None:
    log.run(set_(b"k", 1, o.EX_IN, 100))
    assert log.machine.next_expiry_ms() == 1_100
    log.tick(99)
    assert log.machine.read([[o.GET, b"k"], [o.TTL, b"k", 1, False]]) == [b"1", 1]
    log.tick(1)
    assert log.machine.read([[o.GET, b"k"], [o.TTL, b"k", 1, False]]) == [None, -2]
    assert log.machine.next_expiry_ms() is None


def test_time_never_goes_back(log: Log) -> None:
    log.run(set_(b"k", 1, o.EX_IN, 100))
    log.time_ms -= 900
    log.run([o.INCRBY, b"k", 1])
    assert log.machine.time_ms == 1_000
    assert log.machine.read([[o.TTL, b"k", 1, False]]) == [100]


def test_what_expired_is_gone_before_the_entry_that_brings_the_time_is_executed(log: Log) -> None:
    log.run(set_(b"k", 41, o.EX_IN, 100))
    log.time_ms += 100
    assert log.run([o.INCRBY, b"k", 1]) == [1]
    assert log.machine.read([[o.TTL, b"k", 1, False]]) == [-1]


def test_a_deadline_that_moves_again_and_again_needs_no_more_memory() -> None:
    state = State()
    state.put(b"k", 1)
    for ms in range(100_000):
        state.expire_at(b"k", 1_000_000 + ms)
    assert state.schedule.buckets == [[(1_099_999).to_bytes(8, "big") + b"k"]]
    assert state.next_deadline() == 1_099_999


def test_a_deadline_that_was_moved_counts_where_it_is_now(log: Log) -> None:
    log.run(set_(b"later", 1, o.EX_IN, 100), set_(b"sooner", 1, o.EX_IN, 300))
    log.run(
        [o.EXPIRE, b"later", o.EX_IN, 300, o.ALWAYS], [o.EXPIRE, b"sooner", o.EX_IN, 100, o.ALWAYS]
    )
    log.tick(100)
    assert log.machine.values == {b"later": 1}
    log.tick(200)
    assert log.machine.values == {}


def test_what_increx_refuses_keeps_its_deadline(log: Log) -> None:
    log.run(set_(b"k", 10, o.EX_IN, 500))
    for kind, ms in ((o.EX_IN, 9_000), (o.EX_NONE, 0), (o.EX_AT, 1)):
        assert log.run([o.INCREX, b"k", 5, MIN, 12, False, kind, ms, False]) == [[10, 0]]
        assert log.machine.read([[o.TTL, b"k", 1, False]]) == [500]


def test_a_key_that_lost_its_deadline_stays(log: Log) -> None:
    log.run(
        set_(b"k", 1, o.EX_IN, 100), set_(b"l", 1, o.EX_IN, 100), [o.PERSIST, b"k"], set_(b"l", 2)
    )
    log.tick(200)
    assert log.machine.values == {b"k": 1, b"l": 2}


# --- arithmetic -----------------------------------------------------------------------------------


def increx(delta: int, low: int = MIN, high: int = MAX, saturate: bool = False, *more: Any) -> Op:
    return [o.INCREX, b"k", delta, low, high, saturate, o.EX_KEEP, 0, False, *more]


# As Redis 8.8 and Valkey 9.2 document it: value before, operation, reply, value after.
INCREX = [
    (10, increx(5, high=20), [15, 5], 15),
    (10, increx(5, high=12), [10, 0], 10),
    (10, increx(-5, high=5), [5, -5], 5),
    (10, increx(-5, low=8), [10, 0], 10),
    (10, increx(5, low=20), [10, 0], 10),
    (10, increx(5, high=12, saturate=True), [12, 2], 12),
    (10, increx(5, high=5, saturate=True), [5, -5], 5),
    (10, increx(-5, low=20, saturate=True), [20, 10], 20),
    (MAX, increx(1), [MAX, 0], MAX),
    (MAX - 7, increx(10, saturate=True), [MAX, 7], MAX),
    (MIN + 7, increx(-10, saturate=True), [MIN, -7], MIN),
    (
        MAX,
        increx(-5, high=MIN, saturate=True),
        Failure(b"ERR applied increment would overflow"),
        MAX,
    ),
    (None, increx(1, high=0), [0, 0], None),
    (None, increx(1, high=0, saturate=True), [0, 0], 0),
    (None, increx(1, low=5, saturate=True), [5, 5], 5),
    (None, increx(1, MIN, MAX, False, o.IF_PRESENT), [0, 0], None),
    (10, increx(1, MIN, MAX, False, o.IF_PRESENT), [11, 1], 11),
    (10, increx(1, MIN, MAX, False, o.IF_ABSENT), [10, 0], 10),
    (None, increx(1, MIN, MAX, False, o.IF_ABSENT), [1, 1], 1),
]


@pytest.mark.parametrize(("before", "op", "reply", "after"), INCREX)
def test_increx_keeps_to_its_bounds(
    log: Log, before: int | None, op: Op, reply: Any, after: int | None
) -> None:
    if before is not None:
        log.run(set_(b"k", before))
    assert log.run(op) == [reply]
    assert log.machine.values.get(b"k") == after


def test_a_transaction_sees_its_own_writes_and_is_one_entry(log: Log) -> None:
    move = [o.MULTI, [[o.INCRBY, b"a", -3], [o.INCRBY, b"b", 3], [o.MGET, [b"a", b"b"]]]]
    assert log.run(move) == [[-3, 3, [b"-3", b"3"]]]


# --- snapshots ------------------------------------------------------------------------------------


def test_a_restored_machine_goes_on_as_if_nothing_had_happened(log: Log) -> None:
    log.run(
        set_(b"k", 1, o.EX_IN, 500),
        set_(b"l", 7),
        [o.IDMP, b"p", 1, [o.INCRBY, b"m", 5]],
        [o.IDMP, b"p", 2, set_(b"n", 1)],
    )
    copy = Machine.restore(log.machine.snapshot())
    assert copy.checksum() == log.machine.checksum()
    body = batches.encode_batch(log.session, 1, [[o.INCRBY, b"l", 1]])
    assert (
        copy.apply(99, batches.stamp(1_000, body), lambda s, n: None).kind is OutcomeKind.DUPLICATE
    )
    again = [[o.IDMP, b"p", 1, [o.INCRBY, b"m", 5]], [o.IDMP, b"p", 2, set_(b"n", 1)]]
    outcome = copy.apply(
        100, batches.stamp(1_500, batches.encode_batch(log.session, 2, again)), lambda s, n: again
    )
    assert outcome.replies == [5, OK]
    assert copy.values == {b"l": 7, b"m": 5, b"n": 1}


def test_a_snapshot_of_a_format_of_the_future_is_refused(log: Log) -> None:
    fields = msgspec.msgpack.decode(log.machine.snapshot())
    fields[0] = 2
    with pytest.raises(SnapshotFormatError, match="format 2"):
        Machine.restore(msgspec.msgpack.encode(fields))


def test_a_snapshot_written_before_the_key_limit_was_in_it_can_be_read(log: Log) -> None:
    fields = msgspec.msgpack.decode(log.machine.snapshot())
    log.machine.level = 1  # as it was then
    assert Machine.restore(msgspec.msgpack.encode(fields[:6])).checksum() == log.machine.checksum()


# --- the cache ------------------------------------------------------------------------------------


def test_changed_keys_are_listed_once_and_only_when_somebody_wants_to_know(log: Log) -> None:
    log.run(set_(b"before", 1))
    assert log.machine.take_dirty() == set()
    log.machine.track_dirty = True
    log.run(
        [o.INCRBY, b"new", 1],
        [o.INCRBY, b"new", 1],
        [o.INCREX, b"x", 5, MIN, 3, False, o.EX_KEEP, 0, False],
        set_(b"t", 1, o.EX_IN, 10),
    )
    assert log.machine.take_dirty() == {b"new", b"t"}
    assert log.machine.take_dirty() == set()
    log.tick(10)
    assert log.machine.take_dirty() == {b"t"}
    log.run([o.FLUSH])
    assert log.machine.take_dirty() == {b"before", b"new"}


# --- speed ----------------------------------------------------------------------------------------


def test_an_increment_is_applied_in_about_a_microsecond(log: Log) -> None:
    """0.3 µs on an idle core; the bound leaves room for a busy machine, and none for a second look
    at all keys."""
    log.run(*[set_(b"key:%d" % n, 0) for n in range(100)])
    best = min(_apply_for_a_while(log) for _ in range(20))
    assert best < 3e-6


def _apply_for_a_while(log: Log) -> float:
    ops = [[o.INCRBY, b"key:%d" % (n % 100), 1] for n in range(1_000)]
    log.number += 1
    body = batches.encode_batch(log.session, log.number, ops)
    begin = time.perf_counter()
    log.append(body)
    return (time.perf_counter() - begin) / len(ops)


def test_increments_of_other_gateways_reach_the_cache(log: Log) -> None:
    log.run(b"k")
    log.machine.track_dirty = True
    body = batches.encode_batch(log.session, 2, [b"k", b"k", b"l"])
    assert (
        log.machine.apply(99, batches.stamp(1_000, body), lambda session, number: None).replies
        == []
    )
    assert log.machine.take_dirty() == {b"k", b"l"}
    assert log.machine.values == {b"k": 3, b"l": 1}

"""Nothing heavy is done in one piece, and what is done in pieces is the same as if it had been.
Counted in what is done between two looks at the loop, not in time."""

from __future__ import annotations

import pytest
from counter_node.counters import batches, execution, state
from counter_node.counters import ops as o
from counter_node.counters.batches import Op, Outcome
from counter_node.counters.execution import weight
from counter_node.counters.machine import Machine
from counter_node.counters.replies import OK, Failure, Listing
from counter_node.counters.waste import Waste
from counter_node.resp.encode import encode

from tests.support.unit.machine_log import Log, names, set_

# --- heavy commands -------------------------------------------------------------------------------

MANY = names(10_000)
HEAVY: list[Op] = [
    [o.DEL, MANY],
    [o.MSET, [x for n, name in enumerate(MANY) for x in (name, n)], False],
    [o.MULTI, [[o.MSET, [b"a", 1], False], *MANY, [o.DEL, MANY[:6_000]], [o.MGET, MANY]]],
    [o.IDMP_OF, b"u", b"p", 1, [o.MULTI, [[o.INCRBY, name, 2] for name in MANY]]],
    [o.EXEC_IF, b"w", [[o.SET, name, 3, o.ALWAYS, None, o.EX_IN, 1_000, False] for name in MANY]],
]


@pytest.mark.parametrize("op", HEAVY)
def test_a_heavy_command_is_executed_in_slices_and_leaves_the_same_behind(op: Op) -> None:
    whole, parted = Log(), Log()
    for log in (whole, parted):
        log.run(*(set_(name, 1, o.EX_IN, 9_000) for name in MANY[::2]), [o.WATCH, b"w", [b"z"]])
    expected = whole.machine._execution.execute(op)
    commands = [b"before", op, b"after"]
    body = batches.encode_batch(parted.session, 2, commands)
    outcome = parted.machine.begin(
        3, batches.stamp(1_000, body), lambda _session, _number: commands
    )
    slices = 1
    while outcome is None:
        assert parted.machine.unfinished
        before = parted.machine.spent
        outcome = parted.machine.go_on()
        assert parted.machine.spent - before <= execution.SLICE
        slices += 1
    assert slices > 2
    assert outcome.replies == [1, expected, 1]
    parted.machine.values.pop(b"before"), parted.machine.values.pop(b"after")
    assert parted.machine.values == whole.machine.values


def test_a_batch_of_many_ordinary_commands_is_parted_between_them() -> None:
    log = Log()
    commands: list[Op] = [[o.INCRBY, name, 1] for name in MANY]
    body = batches.encode_batch(log.session, 1, commands)
    outcome: Outcome | None = log.machine.begin(
        2, batches.stamp(1_000, body), lambda _session, _number: commands
    )
    slices = 1
    while outcome is None:
        outcome, slices = log.machine.go_on(), slices + 1
    assert slices >= sum(map(weight, commands)) // execution.SLICE
    assert outcome.replies == [1] * len(MANY)


@pytest.mark.parametrize(
    ("read", "most"), [([o.RANDOMKEY, 1 << 20], 20), ([o.SCAN, 1 << 20, 1, None], 50)]
)
def test_a_crowd_of_reads_that_order_a_part_of_the_index_is_answered_in_slices(
    read: Op, most: int
) -> None:
    """3,000 RANDOMKEY in a pipeline held a node with a million counters for 31 ms at a time: each
    costs as much as ten of the others."""
    log = Log()
    log.run(*names(5_000))
    reading = log.machine.reading([read] * 300)
    slices = 1
    while not reading.step():
        slices += 1
    assert slices >= 300 // most
    assert len(reading.replies) == 300


def test_flushall_costs_no_more_with_many_counters_and_gives_the_memory_back_in_slices() -> None:
    log = Log()
    log.machine.track_dirty = True
    for start in range(0, 50_000, 10_000):
        log.run(*names(50_000)[start : start + 10_000])
    log.machine.take_dirty()
    assert log.run([o.FLUSH], b"0") == [OK, 1]
    assert log.machine.take_all_dirty()
    assert log.machine.take_dirty() == {b"0"}
    turns = 0
    while log.machine.untidy:
        log.machine.tidy()
        turns += 1
    assert turns > 4
    assert log.machine.values == {b"0": 1}
    log.run([o.FLUSH])
    assert not log.machine.take_all_dirty()
    assert log.machine.take_dirty() == {b"0"}


def test_waste_of_all_shapes_is_freed() -> None:
    waste = Waste()
    waste.add({n: n for n in range(50)}, [[n] for n in range(50)], list(range(50)), {}, [])
    turns = 0
    while waste:
        waste.free(10)
        turns += 1
    assert turns >= 10


# --- names ----------------------------------------------------------------------------------------


def test_keys_of_many_counters_walks_while_others_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "MOST_SCANNED", 100)
    log = Log()
    log.run(*(b"stay:%d" % n for n in range(20_000)))
    reading = log.machine.reading([[o.GET, b"stay:1"], [o.KEYS, b"stay:*"], [o.GET, b"stay:2"]])
    steps = 1
    while not reading.step():
        assert not reading.atomic
        log.run(b"new:%d" % steps, [o.DEL, [b"new:%d" % (steps - 1)]])
        steps += 1
    assert steps > 4
    first, listing, last = reading.replies
    assert (first, last) == (b"1", b"1")
    assert isinstance(listing, Listing)
    replies = encode(listing, 2).split(b"\r\n")[2::2]
    assert sorted(replies) == sorted(b"stay:%d" % n for n in range(20_000))
    assert encode(listing, 2) == encode(listing, 3)
    assert encode(listing, 2).startswith(b"*20000\r\n$")


def test_keys_and_scan_of_a_transaction_look_at_so_many_counters_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(state, "MOST_SCANNED", 25)
    log = Log()
    log.run(*names(10))
    (replies,) = log.run([o.MULTI, [[o.KEYS, b"*"], [o.SCAN, 0, 10, None], [o.KEYS, b"*"], b"1"]])
    assert len(replies[0]) == 10
    assert len(replies[1][1]) == 10
    assert isinstance(replies[2], Failure)
    assert b"use SCAN" in replies[2]
    assert replies[3] == 2
    assert len(log.run(b"1", [o.KEYS, b"*"])[1]) == 10


# --- a jump of log time ---------------------------------------------------------------------------


def test_what_keeps_its_time_over_a_jump_is_moved_in_slices() -> None:
    """A million of them at once stopped every member for seconds, right after a full stop."""
    log = Log()
    log.append(batches.encode(batches.Jump(log.time_ms, True)))
    log.run(
        *(set_(name, 1, o.EX_IN, 5_000) for name in names(4_000)), set_(b"old", 1, o.EX_AT, 1 << 41)
    )
    log.index += 1
    outcome = log.machine.begin(
        log.index,
        batches.stamp(log.time_ms, batches.encode(batches.Jump(61_000, False))),
        lambda _s, _n: None,
    )
    slices = 1
    while outcome is None:
        assert log.machine.unfinished
        with pytest.raises(AssertionError):
            log.machine.dump()
        outcome, slices = log.machine.go_on(), slices + 1
    assert slices == 4_000 // state.JUMP_PIECE + 1
    log.time_ms = 61_000
    assert log.run([o.TTL, b"0", 1, False], [o.DBSIZE]) == [5_000, 4_001]
    assert not log.machine.gap


def test_the_names_of_a_gap_are_in_a_snapshot_and_come_back() -> None:
    log = Log()
    log.append(batches.encode(batches.Jump(log.time_ms, True)))
    log.run(
        *(set_(name, 1, o.EX_IN, 5_000) for name in names(3_000)), set_(b"old", 1, o.EX_AT, 1 << 41)
    )
    made, expected = log.machine.dump(), log.machine.snapshot()
    made.step()
    log.append(batches.encode(batches.Jump(61_000, False)))
    log.run([o.DEL, names(100)])
    assert made.finish() == expected
    other = Machine.restore(expected)
    assert other.snapshot() == expected
    assert (other.gap, log.machine.gap) == (True, False)
    again = Log(other)
    again.append(batches.encode(batches.Jump(61_000, False)))
    again.time_ms = 61_000
    assert again.run([o.TTL, b"0", 1, False]) == [5_000]

"""Counters whose time has come are gone for everybody at once, and removed a slice at a time."""

from __future__ import annotations

import random
from typing import Any

import pytest
from counter_node.counters import batches, levels
from counter_node.counters import ops as o
from counter_node.counters.batches import Level, Op
from counter_node.counters.machine import Machine
from counter_node.counters.replies import OK, Failure
from counter_node.counters.schedule import Schedule
from counter_node.counters.state import SLICE
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.unit.machine_log import Log, names, set_

DUE_MS = 5_000
OLDER = levels.SLICES_LEVEL - 1


def storm(machine: Machine, count: int) -> Log:
    """All due at once."""
    log = Log(machine)
    log.run(b"stays", *(set_(name, 1, o.EX_AT, DUE_MS) for name in names(count)))
    return log


def test_what_is_due_is_gone_for_everybody_at_once_and_removed_in_slices() -> None:
    log = storm(Machine(), 2_500)
    log.time_ms = DUE_MS
    name = b"2499"
    replies = log.run(
        [o.DBSIZE],
        [o.GET, name],
        [o.EXISTS, [name]],
        [o.TYPE, name],
        [o.TTL, name, 1, False],
        [o.STRLEN, name],
    )
    assert replies == [1, None, 0, "none", -2, 0]
    assert len(log.machine.values) == 2_501 - SLICE
    assert log.machine.backlog
    assert log.machine.read([[o.KEYS, b"*"], [o.MGET, [name, b"stays"]]]) == [
        [b"stays"],
        [None, b"1"],
    ]
    cursor, found = b"0", []
    while True:
        cursor, page = log.machine.read([[o.SCAN, int(cursor), 100, None]])[0]
        found += page
        if cursor == b"0":
            break
    assert found == [b"stays"]
    assert log.machine.next_expiry_ms() is None
    log.tick(0)
    log.tick(0)
    assert log.machine.values == {b"stays": 1}
    assert not log.machine.backlog


@pytest.mark.parametrize(
    ("op", "reply", "value"),
    [
        (b"k", 1, 1),
        ([o.INCRBY, b"k", 5], 5, 5),
        ([o.SET, b"k", 7, o.IF_PRESENT, None, o.EX_NONE, 0, False], None, None),
        ([o.SET, b"k", 7, o.ALWAYS, None, o.EX_KEEP, 0, True], None, 7),
        ([o.INCREX, b"k", 2, 0, 9, False, o.EX_KEEP, 0, False], [2, 2], 2),
        ([o.DEL, [b"k"]], 0, None),
        ([o.GETDEL, b"k"], None, None),
        ([o.GETEX, b"k", o.EX_NONE, 0], None, None),
        ([o.EXPIRE, b"k", o.EX_IN, 1_000, o.ALWAYS], 0, None),
        ([o.PERSIST, b"k"], 0, None),
        ([o.MSET, [b"k", 3], True], 1, 3),
        ([o.MSET, [b"k", 3], False], OK, 3),
        ([o.TIMES, b"k", 4], 4, 4),
    ],
)
def test_a_write_finds_nothing_of_what_is_due(op: Op, reply: Any, value: int | None) -> None:
    log = Log()
    log.run(
        *(set_(name, 1, o.EX_AT, DUE_MS - 1) for name in names(2 * SLICE)),
        set_(b"k", 40, o.EX_AT, DUE_MS),
    )
    log.time_ms = DUE_MS
    assert log.run(op) == [reply]
    assert log.machine.backlog
    assert log.machine.values.get(b"k") == value
    assert log.machine.deadlines.get(b"k") is None


def test_a_watch_is_broken_by_what_is_due_though_it_is_not_removed_yet() -> None:
    log = Log()
    log.run(
        *(set_(name, 1, o.EX_AT, DUE_MS - 1) for name in names(2 * SLICE)),
        set_(b"k", 40, o.EX_AT, DUE_MS),
    )
    log.run([o.WATCH, b"w", [b"k"]])
    log.time_ms = DUE_MS
    log.run([o.WATCH, b"later", [b"k"]])  # when it is gone already
    assert log.machine.backlog
    for _ in range(3):
        log.tick(1)
    (broken, kept) = log.run([o.EXEC_IF, b"w", [b"n"]], [o.EXEC_IF, b"later", [b"n"]])
    assert (type(broken).__name__, kept) == ("NoList", [1])


def test_what_is_due_makes_room_for_a_new_counter() -> None:
    log = storm(Machine(max_keys=3_001), 3_000)
    log.time_ms = DUE_MS
    log.run(*(b"new:%d" % n for n in range(SLICE)))
    assert isinstance(log.run(*([b"more:%d" % n for n in range(2_001)]))[-1], Failure)
    assert len(log.machine.values) == 3_001


def test_replicas_that_came_to_their_state_differently_remove_the_same_slices() -> None:
    rng = random.Random(3)
    log = Log()
    for _ in range(3):
        log.run(
            *(
                set_(name, 1, o.EX_AT, DUE_MS + rng.randrange(3))
                for name in rng.sample(names(4_000), 3_000)
            )
        )
    other = Log(Machine.restore(log.machine.snapshot()))
    other.index, other.number, other.session = log.index, log.number, log.session
    for each in (log, other):
        each.time_ms = DUE_MS + 1
    while log.machine.backlog:
        for each in (log, other):
            each.run(b"x")
        assert log.machine.checksum() == other.machine.checksum()


def test_below_its_level_all_of_it_goes_at_once_as_older_members_do() -> None:
    log = storm(Machine(knows=OLDER), 2_500)
    log.time_ms = DUE_MS
    log.append(batches.encode_tick())
    assert log.machine.values == {b"stays": 1}
    newer = storm(Machine.restore(Machine(knows=OLDER).snapshot(), levels.LEVEL), 2_500)
    newer.time_ms = DUE_MS
    newer.append(batches.encode_tick())
    assert newer.machine.values == {b"stays": 1}


def test_from_the_entry_that_raises_the_level_on_it_goes_in_slices() -> None:
    log = storm(Machine.restore(Machine(knows=OLDER).snapshot(), levels.LEVEL), 2_500)
    log.append(batches.encode(Level(levels.SLICES_LEVEL)))
    log.time_ms = DUE_MS
    log.append(batches.encode_tick())
    assert len(log.machine.values) == 2_501 - SLICE


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("+-t"), st.integers(0, 30), st.sampled_from(names(6))),
        max_size=120,
    ),
    st.integers(1, 4),
)
def test_the_schedule_is_a_sorted_list(changes: list[tuple[str, int, bytes]], most: int) -> None:
    schedule, plain = Schedule(), set[tuple[int, bytes]]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("counter_node.counters.schedule.MOST_PER_BUCKET", 2)
        for what, ms, key in changes:
            if what == "+" and (ms, key) not in plain:
                schedule.add(ms, key)
                plain.add((ms, key))
            elif what == "-" and (ms, key) in plain:
                schedule.remove(ms, key)
                plain.discard((ms, key))
            elif what == "t":
                gone = sorted(pair for pair in plain if pair[0] <= ms)[:most]
                assert schedule.take(ms, most) == [name for _, name in gone]
                plain.difference_update(gone)
            assert schedule.first_ms() == min((d for d, _ in plain), default=None)
            assert schedule.due(ms) == sum(d <= ms for d, _ in plain)
            assert schedule.first_after_ms(ms) == min((d for d, _ in plain if d > ms), default=None)


def test_a_random_key_is_found_among_many_that_are_due() -> None:
    log = storm(Machine(), 2_500)
    assert log.machine.read([[o.RANDOMKEY, 17]])[0] is not None
    log.time_ms = DUE_MS
    log.tick(0)
    assert log.machine.read([[o.RANDOMKEY, 17]])[0] in (None, b"stays")
    log.tick(0)
    log.tick(0)
    assert log.machine.read([[o.RANDOMKEY, 17]]) == [b"stays"]

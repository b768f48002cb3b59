"""Nothing heavy is done in one piece, and what is done in pieces is the same as if it had been.
Counted in what is done between two looks at the loop, not in time."""

from __future__ import annotations

import random
from typing import Any

import pytest
from counter_node.counters import batches, execution, levels, state, table
from counter_node.counters import ops as o
from counter_node.counters.batches import Level, Op, Outcome
from counter_node.counters.execution import weight
from counter_node.counters.keyspace import in_order
from counter_node.counters.machine import Machine
from counter_node.counters.replies import OK, Failure, Listing
from counter_node.counters.schedule import Schedule
from counter_node.counters.state import SLICE, State
from counter_node.counters.table import PARTS, Table
from counter_node.counters.waste import Waste
from counter_node.resp.encode import encode
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.unit.machine_log import Log, set_

DUE_MS = 5_000
OLDER = levels.SLICES_LEVEL - 1


def names(count: int) -> list[bytes]:
    return [b"%d" % n for n in range(count)]


def storm(machine: Machine, count: int) -> Log:
    """All due at once."""
    log = Log(machine)
    log.run(b"stays", *(set_(name, 1, o.EX_AT, DUE_MS) for name in names(count)))
    return log


# --- what is due ----------------------------------------------------------------------------------


def test_what_is_due_is_gone_for_everybody_at_once_and_removed_in_slices() -> None:
    log = storm(Machine(), 2_500)
    log.time_ms = DUE_MS
    name = b"2499"
    told = log.run(
        [o.DBSIZE],
        [o.GET, name],
        [o.EXISTS, [name]],
        [o.TYPE, name],
        [o.TTL, name, 1, False],
        [o.STRLEN, name],
    )
    assert told == [1, None, 0, "none", -2, 0]
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
    monkeypatch.setattr(execution, "MOST_LOOKED_AT", 100)
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
    told = encode(listing, 2).split(b"\r\n")[2::2]
    assert sorted(told) == sorted(b"stay:%d" % n for n in range(20_000))
    assert encode(listing, 2) == encode(listing, 3)
    assert encode(listing, 2).startswith(b"*20000\r\n$")


def test_keys_and_scan_of_a_transaction_look_at_so_many_counters_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(state, "MOST_LOOKED_AT", 25)
    log = Log()
    log.run(*names(10))
    (told,) = log.run([o.MULTI, [[o.KEYS, b"*"], [o.SCAN, 0, 10, None], [o.KEYS, b"*"], b"1"]])
    assert len(told[0]) == 10
    assert len(told[1][1]) == 10
    assert isinstance(told[2], Failure)
    assert b"use SCAN" in told[2]
    assert told[3] == 2
    assert len(log.run(b"1", [o.KEYS, b"*"])[1]) == 10


def test_a_random_key_is_found_among_many_that_are_due() -> None:
    log = storm(Machine(), 2_500)
    assert log.machine.read([[o.RANDOMKEY, 17]])[0] is not None
    log.time_ms = DUE_MS
    log.tick(0)
    assert log.machine.read([[o.RANDOMKEY, 17]])[0] in (None, b"stays")
    log.tick(0)
    log.tick(0)
    assert log.machine.read([[o.RANDOMKEY, 17]]) == [b"stays"]


def test_tables_that_hold_little_are_made_again_a_part_at_a_time() -> None:
    counters = State()
    for name in names(200_000):
        counters.put(name, 1)
    before = list(counters.values.parts)
    turn(counters)
    assert all(part is old for part, old in zip(counters.values.parts, before, strict=True))
    for name in names(199_900):
        counters.remove(name)
    kept = dict(counters.values)
    counters.shrink()
    assert (
        sum(part is not old for part, old in zip(counters.values.parts, before, strict=True)) == 1
    )
    turn(counters)
    assert all(part is not old for part, old in zip(counters.values.parts, before, strict=True))
    assert counters.values == kept


def turn(counters: State) -> None:
    for _ in range(PARTS):
        counters.shrink()


@pytest.mark.parametrize("parts", [table.PureParts, table.Parts])
def test_no_part_of_a_table_holds_much_more_than_its_share(parts: Any) -> None:
    """So none is copied for long when it grows. With names that have a beginning or an end in
    common, and in both ways to make a table."""
    for names_ in (
        [b"counter:%022d" % n for n in range(20_000)],
        [b"%d:hits" % n for n in range(20_000)],
    ):
        found = parts()
        found.absorb(dict.fromkeys(names_, 1))
        assert len(found) == 20_000
        assert max(map(len, found.parts)) < 2 * 20_000 // PARTS
        assert found.part(names_[7])[names_[7]] == 1
        assert (
            found.get(b"x"),
            found.get(b"x", 5),
            found.pop(b"x"),
            found.pop(names_[7]),
            names_[7] in found,
        ) == (None, 5, None, 1, False)
        with pytest.raises(KeyError):
            found[names_[7]]
        with pytest.raises(KeyError):
            del found[names_[7]]


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("=-?"), st.sampled_from(names(9))), max_size=60))
def test_a_table_is_a_dictionary_in_parts(changes: list[tuple[str, bytes]]) -> None:
    found, plain = Table[int](), dict[bytes, int]()
    for number, (what, key) in enumerate(changes):
        if what == "=":
            found[key] = plain[key] = number
        elif what == "-":
            assert found.pop(key) == plain.pop(key, None)
        assert (found.get(key), key in found, len(found), bool(found)) == (
            plain.get(key),
            key in plain,
            len(plain),
            bool(plain),
        )
    assert found == plain
    assert sorted(found) == sorted(plain)


def test_the_index_gives_all_names_in_one_order_however_it_came_to_be() -> None:
    grown, other = State(), State()
    for name in MANY:
        grown.put(name, 1)
    for name in reversed(MANY):
        other.put(name, 1)
        other.put(name + b"x", 1)
    for name in MANY:
        other.remove(name + b"x")
    runs: list[list[bytes]] = []
    for each, least in ((grown, 500), (other, 70)):
        found, cursor = list[bytes](), 0
        while True:
            cursor, some = each.index.run(cursor, least)
            found += some
            if not cursor:
                break
        runs.append(found)
    assert runs[0] == runs[1] == in_order(MANY)


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

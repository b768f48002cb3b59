"""Log time, jumps and the calendar in the replicated state."""

from __future__ import annotations

from typing import Any

import msgspec
from counter_node.counters import batches
from counter_node.counters import ops as o
from counter_node.counters.machine import Machine


class Log:
    """Entries of a leader, one after another."""

    def __init__(self) -> None:
        self.machine = Machine(began_ms=1_000)
        self.index = self.number = 0
        self.session = self.put(1_000, batches.OpenSession(1)).session

    def put(self, stamp_ms: int, body: Any) -> batches.Outcome:
        self.index += 1
        data = batches.stamp(stamp_ms, batches.encode(body))
        return self.machine.apply(
            self.index, data, lambda session, number: batches.decode_ops(body.ops)
        )

    def write(self, stamp_ms: int, *commands: Any) -> list[Any]:
        self.number += 1
        return self.put(
            stamp_ms,
            batches.Batch(self.session, self.number, msgspec.Raw(batches.encode(list(commands)))),
        ).replies


def put_with(key: bytes, kind: int, ms: int) -> Any:
    return [o.SET, key, 5, o.ALWAYS, None, kind, ms, False]


WEEK_MS = 7 * 86_400_000


def test_a_jump_ages_what_was_there_and_forgets_nobody() -> None:
    log = Log()
    once = o.idmp(b"p", 1, b"counted")
    assert log.write(
        1_000,
        once,
        put_with(b"hour", o.EX_IN, 3_600_000),
        put_with(b"month", o.EX_IN, 30 * 86_400_000),
    ) == [1, "OK", "OK"]
    log.put(2_000, batches.Jump(2_000, gap=True))
    assert log.write(3_000, put_with(b"new", o.EX_IN, 10_000)) == ["OK"]
    log.put(4_000, batches.Jump(4_000 + WEEK_MS, gap=False))
    assert log.machine.jumps == (1, WEEK_MS)
    assert set(log.machine.values) == {b"month", b"new", b"counted"}
    assert log.write(4_000 + WEEK_MS, once, [o.TTL, b"new", 1, False]) == [1, 9_000], (
        "set after the stop: it keeps what was left"
    )
    assert log.write(13_000 + WEEK_MS, [o.TTL, b"new", 1, False]) == [-2]
    assert not log.machine.gap


def test_moments_of_the_calendar_go_by_the_offset() -> None:
    log = Log()
    utc = 1_800_000_000_000
    log.put(1_000, batches.Calendar(utc - 1_000))
    assert log.write(
        1_000, put_with(b"k", o.EX_AT, utc + 5_000), [o.TTL, b"k", 1, False], [o.TTL, b"k", 1, True]
    ) == ["OK", 5_000, utc + 5_000]
    log.put(2_000, batches.Calendar(utc + 3_600_000))
    assert log.write(2_000, [o.TTL, b"k", 1, False]) == [4_000], (
        "no deadline moves with the calendar"
    )


def test_a_moment_of_the_calendar_is_not_moved_by_the_jump_that_closes_a_gap() -> None:
    log = Log()
    utc = 1_800_000_000_000
    log.put(1_000, batches.Calendar(utc - 1_000))
    log.put(1_000, batches.Jump(1_000, gap=True))
    assert log.write(
        1_000, put_with(b"k", o.EX_IN, 5), put_with(b"k", o.EX_AT, utc + WEEK_MS + 5_000)
    ) == ["OK", "OK"]
    log.put(1_000, batches.Jump(1_000 + WEEK_MS, gap=False))
    assert log.write(1_000 + WEEK_MS, [o.TTL, b"k", 1, False]) == [5_000]


def test_names_that_are_gone_do_not_pile_up_in_a_gap_that_stays_open() -> None:
    log = Log()
    log.put(1_000, batches.Jump(1_000, gap=True))
    for number in range(20):
        log.write(1_000 + number, put_with(b"%d" % number, o.EX_IN, 1))
    log.write(
        2_000,
        put_with(b"lives", o.EX_IN, 10),
        put_with(b"deleted", o.EX_IN, 10),
        [o.DEL, [b"deleted"]],
        b"past",
        [o.EXPIRE, b"past", o.EX_IN, -1, o.ALWAYS],
    )
    assert log.machine._state.since_gap == {b"lives": None}


def test_the_calendar_and_a_gap_are_in_the_snapshot_and_older_snapshots_are_read() -> None:
    log = Log()
    log.put(1_000, batches.Calendar(77))
    log.put(1_000, batches.Jump(5_000, gap=True))
    log.write(5_000, put_with(b"k", o.EX_IN, 10_000))
    again = Machine.restore(log.machine.snapshot())
    assert again.checksum() == log.machine.checksum()
    assert (again.offset_ms, again.calendar_agreed, again.jumps, again.gap, again.marks) == (
        77,
        True,
        (1, 4_000),
        True,
        1,
    )
    for machine in (log.machine, again):
        machine.apply(
            99, batches.stamp(6_000, batches.encode(batches.Jump(100_000, False))), lambda *_: None
        )
    assert again.checksum() == log.machine.checksum()
    fields = msgspec.msgpack.decode(Machine(began_ms=123).snapshot())
    old = Machine.restore(msgspec.msgpack.encode([*fields[:9], fields[9]]))
    assert (old.time_ms, old.offset_ms, old.calendar_agreed, old.gap) == (123, 0, False, False)

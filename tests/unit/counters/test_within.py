"""A user with patterns sees no counter beside them: no name, no number, no place."""

from __future__ import annotations

import random
from typing import Any

import pytest
from counter_node.counters import levels
from counter_node.counters import ops as o
from counter_node.counters.batches import Op
from counter_node.counters.machine import Machine
from counter_node.counters.replies import Failure, Listing

from tests.support.unit.machine_log import Log, set_

MINE = [b"app:*", b"shared"]
FEW, MANY = 50, 25_000


def filled(foreign: int, own: int = 30) -> Machine:
    log = Log()
    keys = (
        [b"app:%d" % n for n in range(own)]
        + [b"shared"]
        + [b"foreign:%d" % n for n in range(foreign)]
    )
    random.Random(3).shuffle(keys)
    for start in range(0, len(keys), 1_000):
        log.run(*keys[start : start + 1_000])
    return log.machine


def own(count: int = 30) -> set[bytes]:
    return {b"app:%d" % n for n in range(count)} | {b"shared"}


def scanned(
    machine: Machine, count: int, pattern: bytes | None = None
) -> tuple[list[bytes], list[list[bytes]]]:
    cursors, pages = [], []
    cursor = b"0"
    while True:
        cursor, keys = machine.read([o.within(MINE, [o.SCAN, int(cursor), count, pattern])])[0]
        cursors.append(cursor)
        pages.append(keys)
        if cursor == b"0":
            return cursors, pages


def names(replies: Any) -> list[bytes]:
    if not isinstance(replies, Listing):
        return list(replies)
    assert replies.count == b"".join(replies.parts).count(b"$")
    return b"".join(replies.parts).split(b"\r\n")[1::2]


@pytest.mark.parametrize("foreign", [FEW, MANY])
def test_what_is_shown_is_what_it_would_be_without_the_others(foreign: int) -> None:
    machine, alone = filled(foreign), filled(0)
    ask: list[Op] = [[o.DBSIZE], [o.KEYS, b"*"], [o.KEYS, b"*1"]]
    replies = machine.read([o.within(MINE, op) for op in ask])
    assert replies[0] == len(own())
    assert sorted(names(replies[1])) == sorted(own())
    assert sorted(names(replies[2])) == sorted(key for key in own() if key.endswith(b"1"))
    for count in (1, 7, 100):
        for pattern in (None, b"*1"):
            assert scanned(machine, count, pattern) == scanned(alone, count, pattern), (
                "cursors as well"
            )
    cursors, pages = scanned(machine, 7)
    assert sorted(key for page in pages for key in page) == sorted(own())
    assert len(cursors) == 5
    found = {machine.read([o.within(MINE, [o.RANDOMKEY, n << 22])])[0] for n in range(0, 1_024, 8)}
    assert found <= own()
    assert len(found) > 10


@pytest.mark.parametrize("foreign", [0, FEW, MANY])
@pytest.mark.parametrize("patterns", [[], [b"none:*"]])
def test_who_has_no_counter_hears_of_none(foreign: int, patterns: list[bytes]) -> None:
    machine = filled(foreign)
    ask: list[Op] = [[o.DBSIZE], [o.KEYS, b"*"], [o.SCAN, 0, 10, None], [o.RANDOMKEY, 5]]
    replies = machine.read([o.within(patterns, op) for op in ask])
    assert replies[0] == 0
    assert names(replies[1]) == []
    assert replies[2:] == [[b"0", []], None]


def test_many_are_read_in_slices_and_others_of_the_same_pipeline_go_on() -> None:
    machine = filled(MANY)
    reading = machine.reading([[o.GET, b"shared"], *(o.within(MINE, [code, *rest]) for code,
    *rest in (
        [o.DBSIZE], [o.KEYS, b"*"], [o.SCAN, 0, 100, None])), [o.GET, b"shared"]])  # fmt: skip
    steps = 0
    while not reading.step():
        steps += 1
    assert steps > 3 * MANY // 4_000
    assert [reading.replies[0], reading.replies[1], reading.replies[4]] == [b"1", 31, b"1"]


def test_a_look_with_many_patterns_takes_more_slices() -> None:
    machine = filled(MANY)
    many = [b"app:*", *(b"p%d:*" % n for n in range(80))]
    steps = []
    for patterns in ([b"app:*"], many):
        reading = machine.reading([o.within(patterns, [o.DBSIZE])])
        steps.append(0)
        while not reading.step():
            steps[-1] += 1
        assert reading.replies == [30]
    assert steps[1] > 3 * steps[0]


def test_in_a_transaction_or_behind_writes_few_are_read() -> None:
    log = Log(filled(MANY))
    for ask in ([o.DBSIZE], [o.SCAN, 0, 10, None], [o.KEYS, b"*"], [o.RANDOMKEY, 5]):
        (replies,) = log.run([o.MULTI, [b"shared", o.within(MINE, ask)]])
        assert isinstance(replies[1], Failure)
        assert replies[1].startswith(
            b"ERR SCAN, KEYS, RANDOMKEY and DBSIZE of a user with patterns look at all"
        )
    few = Log(filled(FEW))
    assert few.run([o.MULTI, [b"shared", o.within(MINE, [o.DBSIZE])]]) == [[2, 31]]


def test_what_is_due_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("counter_node.counters.state.SLICE", 1)
    log = Log()
    log.run(*(set_(b"app:%d" % n, 1, o.EX_AT, 5_000) for n in range(20)), b"shared")
    log.time_ms = 5_000
    log.run(b"shared")
    assert log.machine.backlog
    ask: list[Op] = [[o.DBSIZE], [o.KEYS, b"*"], [o.SCAN, 0, 10, None], [o.RANDOMKEY, 5]]
    replies = log.machine.read([o.within(MINE, op) for op in ask])
    assert replies == [1, [b"shared"], [b"0", [b"shared"]], b"shared"]


def test_patterns_are_those_of_the_users_file_all_of_them() -> None:
    log = Log()
    log.run(b"a.b", b"axb", b"[x]", b"x", b"new\nline")
    for patterns, found in (
        ([b"a.b"], {b"a.b"}),
        ([b"a?b", b"[[]x]"], {b"a.b", b"axb", b"[x]"}),
        ([b"new*"], {b"new\nline"}),
    ):
        assert set(log.machine.read([o.within(patterns, [o.KEYS, b"*"])])[0]) == found


def test_it_is_of_its_level_in_the_log_and_a_plain_read_at_any() -> None:
    assert levels.level_of([o.MULTI, [o.within(MINE, [o.DBSIZE])]]) == levels.USERS_LEVEL
    assert not o.is_write(o.within(MINE, [o.DBSIZE]))
    old = Log(Machine.restore(Machine(knows=levels.USERS_LEVEL - 1).snapshot()))
    old.run(b"app:1", b"foreign")
    assert old.machine.read([o.within(MINE, [o.DBSIZE])]) == [1]

"""The table of WATCH: bounded, forgotten in time, the same after a snapshot. What breaks a watch:
tests/unit/resp/test_differential.py."""

from __future__ import annotations

import pytest
from counter_node.counters import batches, watches
from counter_node.counters import ops as o
from counter_node.counters.machine import Machine
from counter_node.counters.replies import NO_LIST, OK, pack
from counter_node.counters.watches import TTL_MS, Watches

from tests.support.unit.dumped_log import Log


def run(log: Log, *commands: object) -> list[object]:
    log.number += 1
    return log.append(batches.encode_batch(log.session, log.number, list(commands))).replies


def test_a_watch_outlives_a_snapshot_broken_or_not() -> None:
    log = Log()
    run(log, [o.WATCH, b"w1", [b"a", b"b"]], [o.WATCH, b"w2", [b"c"]], b"a")
    for state in (log.machine.snapshot(), log.machine.dump().finish()):
        log.machine = Machine.restore(state)
        assert log.machine.counts()["watches"] == 2
    assert run(
        log,
        [o.EXEC_IF, b"w1", [b"x"]],
        [o.EXEC_IF, b"w2", [b"x", b"x"]],
        [o.EXEC_IF, b"w2", [b"x"]],
    ) == [NO_LIST, [1, 2], NO_LIST]
    assert log.machine.counts()["watches"] == 0


def test_an_increment_right_after_the_watch_breaks_it() -> None:
    log = Log()
    run(log, b"a")
    assert run(log, [o.WATCH, b"w", [b"a"]], b"a", [o.EXEC_IF, b"w", []]) == [OK, 2, NO_LIST]


def test_increments_of_other_gateways_break_a_watch() -> None:
    log = Log()
    run(log, b"a", [o.WATCH, b"w", [b"a"]])
    log.machine.apply(
        99,
        batches.stamp(1_000, batches.encode_batch(log.session, log.number + 1, [b"a"])),
        lambda session, number: None,
    )
    log.number += 1
    assert run(log, [o.EXEC_IF, b"w", [b"x"]]) == [NO_LIST]


def test_what_expires_breaks_a_watch() -> None:
    log = Log()
    run(log, [o.SET, b"a", 1, o.ALWAYS, None, o.EX_IN, 50, False], [o.WATCH, b"w", [b"a"]])
    log.time_ms += 60
    assert run(log, [o.EXEC_IF, b"w", []]) == [NO_LIST]


def test_a_watch_is_forgotten_after_an_hour() -> None:
    log = Log()
    run(log, [o.WATCH, b"w", [b"a"]])
    log.time_ms += TTL_MS - 1
    log.append(batches.encode_tick())
    assert log.machine.counts()["watches"] == 1
    log.time_ms += 1
    log.append(batches.encode_tick())
    assert log.machine.counts()["watches"] == 0
    log.session, log.number = (
        log.append(batches.encode_open(2)).session,
        0,
    )  # the gateway's own is forgotten as well
    assert run(log, [o.EXEC_IF, b"w", [b"x"]], [o.UNWATCH, b"w", pack(OK)]) == [NO_LIST, OK]


@pytest.mark.parametrize(("most", "most_keys"), [(3, 1_000), (1_000, 6)])
def test_the_oldest_goes_when_there_are_too_many(
    monkeypatch: pytest.MonkeyPatch, most: int, most_keys: int
) -> None:
    monkeypatch.setattr(watches, "MOST", most)
    monkeypatch.setattr(watches, "MOST_KEYS", most_keys)
    table = Watches()
    for number in range(4):
        table.add(b"%d" % number, [b"k", b"l%d" % number], 0)
    assert [table.end(b"%d" % number) for number in range(4)] == [False, True, True, True]
    assert table.by_key == {}


@pytest.mark.parametrize(
    ("limit", "most"), [("MOST", 40), ("MOST_KEYS", 400), ("MOST_KEY_BYTES", 1_200)]
)
def test_who_begins_very_many_loses_its_own_and_nobody_elses(
    monkeypatch: pytest.MonkeyPatch, limit: str, most: int
) -> None:
    monkeypatch.setattr(watches, limit, most)
    table = Watches()
    for user in (b"shop", b"bank", b""):
        table.add(watches.name_of(user, b"1") if user else b"old", [b"k1", b"k2"], 0)
    for number in range(500):
        table.add(
            watches.name_of(b"weak", b"%d" % number), [b"%d:%d" % (number, n) for n in range(10)], 0
        )
    assert [table.end(name) for name in (b"shop\x001", b"bank\x001", b"old")] == [True] * 3
    assert table.end(b"weak\x00499"), "the newest stays"
    assert not table.end(b"weak\x000")


def test_one_user_alone_may_have_the_whole_table_and_below_the_level_the_oldest_goes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watches, "MOST", 10)
    for level, left in ((4, [False, *[True] * 9]), (3, [True] * 10)):
        table = Watches()
        table.in_slices = level >= 4
        if level == 3:
            table.add(b"bank\x00first", [b"k"], 0)
        for number in range(10 + (level >= 4)):
            table.add(b"shop\x00%d" % number, [b"k"], 0)
        assert [table.end(b"shop\x00%d" % n) for n in range(10)] == left
        assert not table.end(b"bank\x00first")


def test_the_shares_are_the_same_after_a_snapshot_and_empty_in_the_end() -> None:
    log = Log()
    for user in (b"a", b"b"):
        for number in range(5):
            run(
                log,
                [
                    o.WATCH,
                    watches.name_of(user, b"%d" % number),
                    [b"k%d" % n for n in range(number + 1)],
                ],
            )
    run(log, [o.WATCH, watches.name_of(b"b", b"1"), [b"k1", b"more"]])
    before = {
        user: (list(s.names), s.keys, s.key_bytes)
        for user, s in log.machine._state.watches._shares.items()
    }
    for state in (log.machine.snapshot(), log.machine.dump().finish()):
        log.machine = Machine.restore(state)
        table = log.machine._state.watches
        assert {
            user: (list(s.names), s.keys, s.key_bytes) for user, s in table._shares.items()
        } == before
    assert before[b"b"][1] == 16
    for name in list(table._table):
        table.end(name)
    assert (table._shares, table._count, table._key_bytes) == ({}, 0, 0)

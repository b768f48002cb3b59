"""The table of WATCH: bounded, forgotten in time, the same after a snapshot. What breaks a watch: tests/unit/resp/test_differential.py."""

from __future__ import annotations

import pytest
from counter_node.counters import batches, watches
from counter_node.counters import ops as o
from counter_node.counters.machine import Machine
from counter_node.counters.replies import NO_LIST, OK, pack
from counter_node.counters.watches import TTL_MS, Watches

from tests.unit.counters.test_dump import Log


def run(log: Log, *commands: object) -> list[object]:
    log.number += 1
    return log.append(batches.encode_batch(log.session, log.number, list(commands))).replies


def test_a_watch_outlives_a_snapshot_broken_or_not() -> None:
    log = Log()
    run(log, [o.WATCH, b"w1", [b"a", b"b"]], [o.WATCH, b"w2", [b"c"]], b"a")
    for state in (log.machine.snapshot(), log.machine.dump().finish()):
        log.machine = Machine.restore(state)
        assert log.machine.counts()["watches"] == 2
    assert run(log, [o.EXEC_IF, b"w1", [b"x"]], [o.EXEC_IF, b"w2", [b"x", b"x"]], [o.EXEC_IF, b"w2", [b"x"]]) == [NO_LIST, [1, 2], NO_LIST]
    assert log.machine.counts()["watches"] == 0


def test_an_increment_right_after_the_watch_breaks_it() -> None:
    log = Log()
    run(log, b"a")
    assert run(log, [o.WATCH, b"w", [b"a"]], b"a", [o.EXEC_IF, b"w", []]) == [OK, 2, NO_LIST]


def test_increments_of_other_gateways_break_a_watch() -> None:
    log = Log()
    run(log, b"a", [o.WATCH, b"w", [b"a"]])
    log.machine.apply(99, batches.stamp(1_000, batches.encode_batch(log.session, log.number + 1, [b"a"])), lambda session, number: None)
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
    log.session, log.number = log.append(batches.encode_open(2)).session, 0  # the gateway's own is forgotten as well
    assert run(log, [o.EXEC_IF, b"w", [b"x"]], [o.UNWATCH, b"w", pack(OK)]) == [NO_LIST, OK]


@pytest.mark.parametrize(("most", "most_keys"), [(3, 1_000), (1_000, 6)])
def test_the_oldest_goes_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch, most: int, most_keys: int) -> None:
    monkeypatch.setattr(watches, "MOST", most)
    monkeypatch.setattr(watches, "MOST_KEYS", most_keys)
    table = Watches()
    for number in range(4):
        table.add(b"%d" % number, [b"k", b"l%d" % number], 0)
    assert [table.end(b"%d" % number) for number in range(4)] == [False, True, True, True]
    assert table.by_key == {}

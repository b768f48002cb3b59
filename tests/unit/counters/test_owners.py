"""A producer belongs to the user who made it, and a full table costs the one who filled it."""

from __future__ import annotations

from typing import Any

import pytest
from counter_node.counters import batches, levels, producers
from counter_node.counters import ops as o
from counter_node.counters.batches import Op
from counter_node.counters.machine import Machine
from counter_node.counters.producers import MOST_AHEAD, TTL_MS, Producers
from counter_node.counters.replies import Failure

from tests.support.unit.machine_log import Log


def of(user: bytes, sequence: int, name: bytes = b"p", inner: Op = b"k") -> Op:
    return o.idmp_of(user, name, sequence, inner)


def fails(reply: Any, word: bytes) -> bool:
    return isinstance(reply, Failure) and word in reply


def test_the_same_name_of_another_user_is_another_producer() -> None:
    log = Log()
    assert log.run(of(b"ann", 1, inner=[o.INCRBY, b"secret", 42])) == [42]
    replies = log.run(of(b"bob", 1), of(b"bob", 2), of(b"ann", 2), of(b"ann", 1), of(b"bob", 1))
    assert replies == [1, 2, 3, 42, 1]


def test_a_producer_from_before_belongs_to_the_first_user_who_names_it() -> None:
    log = Log(Machine.restore(Machine(knows=levels.OWNERS_LEVEL - 1).snapshot()))
    log.run(o.idmp(b"p", 1, b"k"), o.idmp(b"q", 1, b"k"))
    for machine in (log.machine, Machine.restore(log.machine.snapshot())):
        log.machine = machine
        machine.level = levels.OWNERS_LEVEL
    assert log.run(of(b"ann", 1), of(b"ann", 2)) == [1, 3]
    assert fails(log.run(of(b"bob", 2))[0], b"IDMPEXPIRED producer is not known")
    assert log.run(of(b"bob", 1), of(b"ann", 2)) == [4, 3]
    assert log.run(o.idmp(b"q", 1, b"k")) == [2]


def test_what_a_gateway_sent_before_it_heard_of_the_level_is_about_the_same_producer() -> None:
    log = Log()
    log.run(of(b"ann", 1), of(b"ann", 2))
    assert log.run(o.idmp(b"p", 1, b"k"), o.idmp(b"p", 2, b"k"), o.idmp(b"p", 3, b"k")) == [1, 2, 3]


def test_a_sequence_far_ahead_is_refused_and_uses_nothing_up() -> None:
    log = Log()
    log.run(of(b"u", 1))
    for far in (2 + MOST_AHEAD, 9 * 10**18):
        assert fails(
            log.run(of(b"u", far))[0],
            b"is more than 65536 ahead of the newest, 1; it was not executed",
        )
    assert log.run(of(b"u", 2), of(b"u", 1)) == [2, 1]
    assert log.run(of(b"u", 2 + MOST_AHEAD)) == [3]


def test_however_many_one_user_makes_up_there_is_room_for_another() -> None:
    log = Log(Machine(max_producers=10))
    mine = [log.run(of(b"mallory", 1, b"%d" % n))[0] for n in range(15)]
    assert mine[:10] == list(range(1, 11))
    assert all(
        fails(
            reply,
            b"OOM too many producers of this user: 10, and 10 of all users (max_producers is 10)",
        )
        for reply in mine[10:]
    )
    assert [log.run(of(b"ann", 1, b"%d" % n))[0] for n in range(5)] == [11, 12, 13, 14, 15]
    assert fails(
        log.run(of(b"ann", 1, b"more"))[0], b"OOM too many producers of this user: 5, and 15 of all"
    )
    assert log.run(of(b"eve", 1)) == [16], "and for the next"


def test_remembered_sequences_and_answers_cost_the_user_who_made_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(producers, "MOST_SLOTS", 40)
    monkeypatch.setattr(producers, "MOST_OTHER_BYTES", 600)
    log = Log()
    list_of: Op = [o.MULTI, [b"k"]]
    replies = [log.run(of(b"mallory", n, inner=list_of))[0] for n in range(1, 60)]
    assert isinstance(replies[38], list)
    assert fails(replies[39], b"OOM too many remembered requests")
    assert log.run(of(b"ann", 1, inner=list_of)) == log.run(of(b"ann", 1, inner=list_of)), (
        "its answer is kept"
    )
    assert fails(
        log.run(of(b"mallory", 30, inner=list_of))[0], b"its reply was too large to be kept"
    )


def test_producers_are_forgotten_in_slices_and_not_known_before_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("counter_node.counters.machine.EVICTED", 3)
    log = Log()
    log.run(*(of(b"u", 1, b"%d" % n) for n in range(10)), of(b"u", 2, b"9"))
    log.time_ms += TTL_MS
    log.session = log.append(batches.encode_open(5)).session
    log.number = 0
    assert log.machine.producer_count == 7
    assert fails(log.run(of(b"u", 3, b"9"))[0], b"IDMPEXPIRED producer is not known")
    assert log.run(of(b"u", 1, b"8")) == [12]
    assert log.machine.producer_count == 1


def test_the_shares_of_users_are_in_a_snapshot() -> None:
    log = Log(Machine(max_producers=3))
    log.run(*(of(user, 1, b"%d" % n) for user in (b"a", b"b") for n in range(2)))
    copy = Machine.restore(log.machine.snapshot())
    assert copy.snapshot() == log.machine.snapshot()
    shares = {
        user: (share.producers, share.slots) for user, share in copy._producers._shares.items()
    }
    assert shares == {b"a": (2, 4), b"b": (2, 4)}
    assert copy._producers._all.producers == 4


def test_below_the_level_the_operation_goes_into_the_log_without_the_user() -> None:
    assert levels.lowered(of(b"u", 7), levels.OWNERS_LEVEL - 1) == o.idmp(b"p", 7, b"k")
    assert levels.lowered(of(b"u", 7), levels.OWNERS_LEVEL) == of(b"u", 7)
    assert levels.lowered(b"k", 1) == b"k"


def test_a_dump_has_the_producers_of_its_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("counter_node.counters.dump.ROWS", 2)
    monkeypatch.setattr("counter_node.counters.dump.PIECE", 2)
    log = Log()
    log.run(*(of(b"u", 1, b"%d" % n) for n in range(12)), o.idmp(b"old", 1, b"k"))
    expected = log.machine.snapshot()
    dump = log.machine.dump()
    changes = [
        [of(b"u", 2, b"%d" % n) for n in range(12)], [of(b"new", 1)], [of(b"u", 1, b"old")],
        [o.idmp(b"older", 1, b"k")], [of(b"u", 3, b"0")],
    ]  # fmt: skip
    for change in changes:
        dump.step()
        log.run(*change)
    log.time_ms += TTL_MS
    log.append(batches.encode_tick())
    assert bytes(dump.finish()) == expected
    assert log.machine._producers.notes is None
    assert Producers().notes is None
    assert Machine.restore(expected).snapshot() == expected

"""Repeated requests count once (producers.py)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from counter_node.counters import producers
from counter_node.counters.producers import LARGEST_REPLY, TTL_MS, WINDOW, Producers
from counter_node.counters.replies import OK, Failure, Simple
from hypothesis import given, settings
from hypothesis import strategies as st


class Counted:
    """A table whose requests are counted: each execution answers how many there were before."""

    def __init__(self) -> None:
        self.table = Producers()
        self.executed: list[int] = []
        self.time_ms = 0

    def send(self, sequence: int, name: bytes = b"p", reply: Any = None) -> Any:
        def execute() -> Any:
            self.executed.append(sequence)
            return len(self.executed) if reply is None else reply

        return self.table.once(name, sequence, self.time_ms, execute)


def expired(reply: Any) -> bool:
    return isinstance(reply, Failure) and reply.startswith(b"IDMPEXPIRED ")


def test_a_repeated_request_gets_the_first_answer() -> None:
    producer = Counted()
    assert [producer.send(1), producer.send(2), producer.send(1), producer.send(2)] == [1, 2, 1, 2]
    assert producer.executed == [1, 2]


@pytest.mark.parametrize(
    "reply",
    [
        0,
        -(2**63),
        2**63 - 1,
        OK,
        Simple("PONG"),
        b"7",
        [3, -1],
        [OK, [b"1", None]],
        Failure(b"ERR no"),
        {b"a": 1},
    ],
)
def test_every_kind_of_answer_is_given_again_as_it_was(reply: Any) -> None:
    producer = Counted()
    producer.send(1, reply=reply)
    copy = Producers()
    copy.load(msgspec.msgpack.decode(msgspec.msgpack.encode(producer.table.dump())))
    for table in (producer.table, copy):
        again = table.once(b"p", 1, 0, lambda: pytest.fail("executed again"))
        assert (type(again), again) == (type(reply), reply)


def test_an_answer_that_was_null_is_null_again() -> None:
    table = Producers()
    assert table.once(b"p", 1, 0, lambda: None) is None
    assert table.once(b"p", 1, 0, lambda: pytest.fail("executed again")) is None


def test_who_is_not_known_begins_with_one() -> None:
    producer = Counted()
    assert expired(producer.send(2))
    assert len(producer.table) == 0
    assert producer.send(1) == 1


def test_sequences_may_come_in_any_order_within_the_window() -> None:
    producer = Counted()
    for sequence in (1, 5, 3, 1 + WINDOW, 4, 2):
        assert not expired(producer.send(sequence))
    assert expired(producer.send(1))
    assert producer.executed == [1, 5, 3, 1 + WINDOW, 4, 2]


@settings(deadline=None)
@given(
    st.lists(
        st.one_of(
            st.integers(1, 8),
            st.integers(1_000, 1_040),
            st.integers(2_040, 2_060),
            st.integers(1, 2**63 - 1),
        ),
        max_size=60,
    )
)
def test_nothing_is_executed_twice_and_nothing_in_the_window_is_refused(
    sequences: list[int],
) -> None:
    producer = Counted()
    first: dict[int, Any] = {}
    producer.send(1)
    first[1] = 1
    for sequence in sequences:
        reply = producer.send(sequence)
        if sequence <= max(first) - WINDOW:
            assert expired(reply)
        else:
            assert reply == first.setdefault(sequence, reply)
            assert not expired(reply)
    assert len(producer.executed) == len(set(producer.executed)) == len(first)


def test_a_producer_is_forgotten_after_a_day_without_a_request() -> None:
    producer = Counted()
    producer.send(1)
    producer.time_ms = TTL_MS - 1
    producer.table.evict(producer.time_ms)
    assert producer.send(1) == 1
    producer.time_ms = 2 * TTL_MS - 2
    producer.table.evict(producer.time_ms)
    assert len(producer.table) == 1
    producer.time_ms += 1
    producer.table.evict(producer.time_ms)
    assert len(producer.table) == 0
    assert expired(producer.send(2))


def test_a_living_producer_is_never_forgotten_for_a_new_one() -> None:
    producer = Counted()
    producer.table.most = 2
    producer.send(1, b"a")
    producer.send(1, b"b")
    refused = producer.send(1, b"c")
    assert isinstance(refused, Failure)
    assert refused.startswith(b"OOM too many producers; at most 2 (max_producers) are remembered")
    assert producer.executed == [1, 1]
    assert producer.send(2, b"a") == 3
    assert len(producer.table) == 2
    producer.table.most = 3
    assert producer.send(1, b"c") == 4


def test_remembered_requests_have_a_limit_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(producers, "MOST_SLOTS", 10)
    producer = Counted()
    producer.send(1, b"a")
    for sequence in range(2, 8):
        producer.send(sequence, b"a")
    refused = producer.send(1, b"b"), producer.send(2, b"b")
    assert refused[0] == 8
    assert isinstance(refused[1], Failure)
    assert refused[1].startswith(b"OOM too many remembered requests")
    assert producer.executed == [1, 2, 3, 4, 5, 6, 7, 1]
    producer.time_ms = TTL_MS
    producer.table.evict(producer.time_ms)
    assert producer.send(1, b"c") == 9, "what was forgotten gives its room back"


def test_a_large_answer_is_not_kept_but_its_request_counts_once() -> None:
    producer = Counted()
    large = [b"x" * LARGEST_REPLY]
    assert producer.send(1, reply=large) == large
    assert producer.send(1, reply=large) == Failure(
        b"ERR sequence 1 was executed; its reply was too large to be kept"
    )
    assert producer.executed == [1]


def test_answers_that_left_the_window_need_no_memory() -> None:
    producer = Counted()
    for sequence in range(1, 5 * WINDOW):
        producer.send(sequence, reply=[sequence, 1])
    found = producer.table._table[b"p"]
    assert (len(found.others), len(found.kinds)) == (WINDOW, WINDOW)
    before = producer.table._all.other_bytes
    for sequence in range(5 * WINDOW, 6 * WINDOW):
        producer.send(sequence, reply=5)
    assert before > 0
    assert (found.others, producer.table._all.other_bytes) == ({}, 0)

"""A dump in pieces is the state of its moment, whatever happens in between."""

from __future__ import annotations

from typing import Any

import pytest
from counter_node.counters import batches, dump, keyspace
from counter_node.counters import ops as o
from counter_node.counters.machine import Machine
from counter_node.counters.state import MAX, MIN
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.unit.dumped_log import Log

KEYS = st.sampled_from([b"%d" % n for n in range(12)])
OPS = st.one_of(
    KEYS,
    st.tuples(st.just(o.INCRBY), KEYS, st.integers(-5, 5)),
    st.tuples(
        st.just(o.SET),
        KEYS,
        st.integers(0, 9),
        st.just(o.ALWAYS),
        st.none(),
        st.just(o.EX_IN),
        st.integers(1, 40),
        st.just(False),
    ),
    st.tuples(st.just(o.DEL), st.lists(KEYS, min_size=1, max_size=3)),
    st.tuples(st.just(o.EXPIRE), KEYS, st.just(o.EX_IN), st.integers(-1, 30), st.just(o.ALWAYS)),
    st.tuples(st.just(o.PERSIST), KEYS),
    st.tuples(
        st.just(o.INCREX),
        KEYS,
        st.just(1),
        st.just(MIN),
        st.just(MAX),
        st.just(False),
        st.just(o.EX_IN),
        st.integers(1, 30),
        st.just(False),
    ),
    st.tuples(st.just(o.FLUSH)),
)
OPS = st.one_of(
    OPS,
    st.builds(
        o.as_user,
        st.sampled_from([b"u", b"v", b"nobody"]),
        OPS.map(lambda op: op if isinstance(op, bytes) else list(op)),
    ),
)
JUMPS = st.builds(batches.Jump, st.integers(0, 1_200), st.booleans())
EVENTS = st.lists(st.one_of(OPS, JUMPS, st.just("step"), st.integers(1, 25)), max_size=60)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer names in a bucket, too, as a piece is made of whole buckets."""
    monkeypatch.setattr(dump, "PIECE", 2)
    monkeypatch.setattr(keyspace, "MOST_PER_BUCKET", 2)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.one_of(OPS, JUMPS), max_size=30), EVENTS)
def test_the_bytes_are_those_of_the_moment(before: list[Any], events: list[Any]) -> None:
    log = Log()
    for op in before:
        log.do(op)
    expected = log.machine.snapshot()
    made = log.machine.dump()
    for event in events:
        if event == "step":
            made.step()
        elif isinstance(event, int):
            log.time_ms += event  # what is due expires with the next entry
        else:
            log.do(event)
    assert made.finish() == expected
    assert Machine.restore(expected).snapshot() == expected
    assert log.machine.dump().finish() == log.machine.snapshot()  # no notes are left over


@pytest.mark.parametrize("count", [0, 1, 15, 16, 65_535, 65_536])
def test_maps_of_all_sizes_begin_as_msgpack_wants(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dump, "PIECE", 5_000)
    monkeypatch.setattr(keyspace, "MOST_PER_BUCKET", 128)
    machine = Machine()
    for n in range(count):
        machine._state.put(b"%d" % n, n)
    assert machine.dump().finish() == machine.snapshot()


def test_a_dump_that_is_given_up_leaves_room_for_another() -> None:
    log = Log()
    for number in range(10):
        log.run(b"%d" % number)
    first = log.machine.dump()
    first.step()
    with pytest.raises(AssertionError, match="one dump at a time"):
        log.machine.dump()
    first.close()
    log.run(b"3")
    assert log.machine.dump().finish() == log.machine.snapshot()


def test_deadlines_that_are_taken_away_meanwhile_are_in_the_dump() -> None:
    log = Log()
    for number in range(8):
        log.run((o.SET, b"%d" % number, number, o.ALWAYS, None, o.EX_IN, 1_000, False))
    expected = log.machine.snapshot()
    made = log.machine.dump()
    for number in range(8):
        log.run((o.PERSIST, b"%d" % number))
    assert made.finish() == expected


def test_after_flushall_the_rest_of_a_batch_counts_from_nothing() -> None:
    log = Log()
    log.run(b"k")
    log.number += 1
    made = log.machine.dump()
    body = batches.encode_batch(log.session, log.number, [b"k", [o.FLUSH], b"k", b"k"])
    assert log.append(body).replies[2:] == [1, 2]
    assert log.machine.values == {b"k": 2}
    assert Machine.restore(made.finish()).values == {b"k": 1}


def test_increments_of_other_gateways_leave_the_dump_alone() -> None:
    log = Log()
    log.run(b"k")
    made = log.machine.dump()
    log.machine.apply(
        99,
        batches.stamp(1_000, batches.encode_batch(log.session, 2, [b"k", b"k"])),
        lambda session, number: None,
    )
    assert log.machine.values == {b"k": 3}
    assert Machine.restore(made.finish()).values == {b"k": 1}


def test_a_dump_of_a_state_that_is_given_up_meanwhile_is_still_that_of_its_moment() -> None:
    """A node that is taking a snapshot receives a newer one."""
    log = Log()
    for op in (b"k", b"l", b"m", o.idmp_of(b"user", b"producer", 1, b"k"), o.idmp(b"old", 1, b"l")):
        log.run(op)
    expected = log.machine.snapshot()
    made = log.machine.dump()
    made.step()
    log.machine.abandon()
    Machine().inherit(log.machine)
    assert made.finish() == expected


def test_a_snapshot_is_made_in_blocks_that_are_memory_of_their_own() -> None:
    """Of 400 MiB in pieces of 90 KB the allocator kept most, and giving them back held the loop for
    30 ms."""
    pieces = [b"a" * 5, b"b" * 90_000, b"c" * dump.BLOCK_BYTES, b"d", *[b"e" * 90_000] * 30]
    blocks = dump.Blocks(pieces[:1])
    for piece in pieces[1:10]:
        blocks.append(piece)
    blocks += pieces[10:]
    taken = blocks.take()
    assert b"".join(taken) == b"".join(pieces)
    assert taken[1] is pieces[2], "a block is not copied again"
    assert len(taken) <= 6
    assert blocks.take() == []

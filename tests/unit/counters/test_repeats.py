"""Increments of few counters stand in the log as one operation for each (counters/repeats.py)."""

from __future__ import annotations

from counter_node.counters import batches
from counter_node.counters import ops as o
from counter_node.counters.batches import Op
from counter_node.counters.levels import TIMES_LEVEL
from counter_node.counters.machine import Machine
from counter_node.counters.repeats import together
from counter_node.counters.state import MAX
from hypothesis import given
from hypothesis import strategies as st

from tests.support.unit.gateways import ROUTE, number_and_ops, opened
from tests.support.unit.machine_log import Log

KEYS = st.sampled_from([b"a", b"b", b"c", b"d", b"nearly full"])


def seen_from(
    body: bytes, own: list[Op] | None, before: list[Op], max_keys: int
) -> tuple[bytes, set[bytes]]:
    """State, and what the cache would get, after a batch, for the node of its gateway (`own`)
    or another."""
    log = Log(Machine(max_keys))
    log.run(*before)
    log.machine.track_dirty = True
    log.machine.apply(99, batches.stamp(log.time_ms, body), lambda session, number: own)
    return log.machine.snapshot(), log.machine.take_dirty()


@given(keys=st.lists(KEYS, max_size=60), max_keys=st.integers(1, 6), room=st.integers(0, 5))
def test_the_state_is_the_same_as_from_single_increments(
    keys: list[bytes], max_keys: int, room: int
) -> None:
    before = [
        [o.SET, b"nearly full", MAX - room, o.ALWAYS, None, o.EX_IN, 60_000, False],
        b"a",
        [o.WATCH, b"w", [b"b", b"nearly full"]],
    ]
    fewer = together(list(keys))
    assert len(fewer) <= len(keys)
    session = Log().session
    body = batches.encode_batch(session, 2, fewer)
    assert seen_from(body, None, before, max_keys) == seen_from(body, list(keys), before, max_keys)


def test_few_counters_take_one_operation_each_in_order_of_appearance() -> None:
    assert together([b"b", b"a", b"b", b"b", b"c", b"a"]) == [
        [o.TIMES, b"b", 3],
        [o.TIMES, b"a", 2],
        b"c",
    ]


def test_what_would_not_become_fewer_or_is_something_else_stays() -> None:
    for ops in (
        [b"a", b"a"],
        [b"a", b"b", b"c", b"a"],
        [b"a", b"a", b"a", [o.DEL, [b"a"]], b"a"],
        [],
    ):
        assert together(list(ops)) == ops


def test_a_gateway_counts_together_only_at_a_level_that_knows_it() -> None:
    for level, expected in (
        (TIMES_LEVEL - 1, [b"k", b"k", b"k"]),
        (TIMES_LEVEL, [[o.TIMES, b"k", 3]]),
    ):
        gateway = opened()
        gateway.level = level
        gateway.write("a", [b"k", b"k"])
        gateway.write("b", [b"k"])
        number, ops = number_and_ops(gateway.proposal(ROUTE))
        assert ops == expected
        assert gateway.substitute(5, number) == [b"k", b"k", b"k"], (
            "its own clients get a value for each"
        )

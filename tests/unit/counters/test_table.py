"""The table in parts and the index of names: one order however they grew, and no long copy."""

from __future__ import annotations

from typing import Any

import pytest
from counter_node.counters import table
from counter_node.counters.keyspace import in_order
from counter_node.counters.state import State
from counter_node.counters.table import PARTS, Table
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.unit.machine_log import names

MANY = names(10_000)


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

"""The order of names and walks through them (keyspace.py)."""

from __future__ import annotations

import random
import time
import zlib

import pytest
from counter_node.counters import keyspace
from counter_node.counters.keyspace import KeyIndex, compiled, match_of, matching
from counter_node.counters.state import State
from hypothesis import given, settings
from hypothesis import strategies as st


def roomy(expected: int) -> KeyIndex:
    index = KeyIndex(expected)
    for _ in index.make_room():
        pass
    return index


def walk(state: State, count: int) -> list[list[bytes]]:
    cursor, pages = 0, []
    while True:
        cursor, page = state.index.page(cursor, count)
        pages.append(page)
        if cursor == 0:
            return pages


@settings(deadline=None)
@given(st.sets(st.binary(max_size=8), max_size=200), st.integers(1, 30))
def test_a_walk_tells_every_key_once(keys: set[bytes], count: int) -> None:
    state = State()
    for key in keys:
        state.put(key, 1)
    pages = walk(state, count)
    assert all(len(page) >= count for page in pages[:-1])
    assert sorted(key for page in pages for key in page) == sorted(keys)


def test_keys_that_stay_are_listed_once_whatever_comes_and_goes() -> None:
    rng = random.Random(7)
    state = State()
    stay = [b"stay:%d" % n for n in range(200)]
    for key in stay:
        state.put(key, 1)
    listed: list[bytes] = []
    cursor, number = 0, 0
    buckets = len(state.index.buckets)
    while True:
        cursor, page = state.index.page(cursor, 10)
        listed += page
        for _ in range(200 if number < 5_000 else 0):
            number += 1
            state.put(b"go:%d" % number, 1)
            if rng.random() < 0.5:
                state.remove(b"go:%d" % rng.randrange(1, number + 1))
        if cursor == 0:
            break
    assert len(state.index.buckets) > 2 * buckets, "so many came that buckets were parted"
    assert sorted(key for key in listed if key.startswith(b"stay")) == sorted(stay)


def test_a_page_does_not_depend_on_how_the_index_came_to_be() -> None:
    grown, loaded = State(), State()
    for n in range(5_000):
        grown.put(b"%d" % n, 1)
    for n in range(0, 4_000, 3):
        grown.remove(b"%d" % n)
    loaded.index = roomy(len(grown.values))
    loaded.take_values(dict(grown.values))
    assert loaded.index._starts != grown.index._starts
    assert walk(grown, 7) == walk(loaded, 7)


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 60)), max_size=300), st.integers(1, 9))
def test_the_index_holds_the_keys_that_are_there(
    changes: list[tuple[bool, int]], count: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keyspace, "MOST_PER_BUCKET", 2)
        state = State()
        for put, number in changes:
            if put:
                state.put(b"%d" % number, 1)
            else:
                state.remove(b"%d" % number)
    index = state.index
    assert sorted(key for page in walk(state, count) for key in page) == sorted(state.values)
    assert index._starts[0] == 0
    assert index._starts == sorted(set(index._starts))
    assert len(index._starts) == len(index.buckets)


def test_nothing_that_a_client_asks_for_looks_at_more_than_a_few_buckets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What once made the first SCAN of a million counters hold the loop for half a second. Counted
    in places computed, not in time."""
    state = State()
    computed = 0
    crc32 = zlib.crc32

    def counting(key: bytes) -> int:
        nonlocal computed
        computed += 1
        return crc32(key)

    monkeypatch.setattr(keyspace.zlib, "crc32", counting)
    longest = 0
    for n in range(30_000):
        computed = 0
        state.put(b"%d" % n, 1)
        longest = max(longest, computed)
    loaded = State()
    loaded.index = roomy(len(state.values))
    loaded.take_values(dict(state.values))
    for each in (state, loaded):
        cursor = 0
        while True:
            computed = 0
            cursor, _ = each.index.page(cursor, 10)
            longest = max(longest, computed)
            if cursor == 0:
                break
    assert 0 < longest <= 4 * keyspace.MOST_PER_BUCKET


def test_keys_of_the_same_place_come_together() -> None:
    pair = b"plumless", b"buckeroo"
    assert zlib.crc32(pair[0]) == zlib.crc32(pair[1])
    index = KeyIndex()
    index.add_all(pair)
    assert index.page(0, 1) == (0, sorted(pair))


def test_a_cursor_beyond_all_places_ends_the_walk() -> None:
    index = roomy(1)
    index.add_all([b"a"])
    assert index.page(1 << 40, 10) == (0, [])


def test_many_keys_of_one_place_are_listed_and_removed() -> None:
    """Nothing can part them."""
    pair = [b"plumless", b"buckeroo"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keyspace, "MOST_PER_BUCKET", 1)
        index = KeyIndex()
        for key in pair + [b"%d" % n for n in range(1_000)]:
            index.add(key)
    place = zlib.crc32(pair[0])
    assert index.page(place, 1)[1] == sorted(pair)
    for key in pair:
        index.remove(key)
    assert pair[0] not in index.page(place, 1)[1]


def test_flush_and_restore_leave_no_old_index() -> None:
    state = State()
    state.put(b"a", 1)
    state.clear()
    assert walk(state, 10) == [[]]
    state.index = roomy(1)
    state.take_values({b"b": 1})
    assert walk(state, 10) == [[b"b"]]


# As redis-server answers; test_differential.py asks it for many more.
PATTERNS = [
    (b"*", b"", True), (b"", b"", True), (b"", b"a", False), (b"a*", b"abc", True), (b"*c", b"abc",
    True), (b"a*c", b"abdc", True),
    (b"a?c", b"abc", True), (b"a?c", b"ac", False), (b"[a-c]x", b"bx", True), (b"[c-a]x", b"bx",
    True), (b"[^a]x", b"ax", False),
    (b"[^a]x", b"bx", True), (b"[!a]x", b"!x", True), (b"[!a]x", b"bx", False), (b"\\*", b"*",
    True), (b"\\*", b"a", False),
    (b"[\\]]", b"]", True), (b"a[", b"a", False), (b"[abc", b"c", True), (b"a\nb?", b"a\nb\n",
    True), (b"*a*b*", b"xxaxxbxx", True),
    (b"**a", b"ba", True), (b"a**", b"a", True), (b"[]", b"a", False), (b"[^]", b"a", True),
    (b"x\\", b"x\\", True), (b"[a-]", b"-", False),
]  # fmt: skip


@pytest.mark.parametrize(("pattern", "text", "expected"), PATTERNS)
def test_patterns(pattern: bytes, text: bytes, expected: bool) -> None:
    assert matching([text], pattern) == ([text] if expected else [])


@settings(deadline=None)
@given(st.binary(max_size=12).map(lambda b: bytes(b"*?[]^-\\ab"[c % 9] for c in b)))
def test_every_pattern_can_be_compiled(pattern: bytes) -> None:
    compiled(pattern).match(b"abab-]")


@settings(deadline=None)
@given(
    st.lists(
        st.binary(max_size=6).map(lambda b: bytes(b"**?[]^\\ab"[c % 9] for c in b)), max_size=6
    ),
    st.binary(max_size=5),
)
def test_one_of_several_patterns_matches_as_each_of_them_does(
    patterns: list[bytes], text: bytes
) -> None:
    names = [bytes(b"*?[]^\\ab:"[c % 9] for c in text), *(p.rstrip(b"*") for p in patterns)]
    assert [match_of(tuple(patterns))(name) for name in names] == [
        any(matching([name], p) for p in patterns) for name in names
    ]


def test_no_pattern_takes_for_ever() -> None:
    begin = time.perf_counter()
    matching([b"a" * 512] * 10, b"*a" * 100 + b"*b")
    assert time.perf_counter() - begin < 1

"""Retention: what it takes is needed by nothing that must stay, and it takes the rest."""

from __future__ import annotations

import pytest
from counter_node.archive import prune
from counter_node.archive.reader import Reader
from counter_node.archive.restore import restore
from counter_node.archive.rules.errors import ArchiveError, DamagedObjectError
from counter_node.archive.rules.names import keep_name
from counter_node.archive.rules.objects import Keep
from counter_node.archive.rules.restoring import AtIndex
from counter_node.archive.rules.retention import Policy
from counter_node.archive.rules.sealing import Keys
from counter_node.archive.uploader import Uploader
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.archive_store import MemoryStore
from tests.support.archive_world import HISTORY, Member, Truth

NONE = Keys()


def archive(seed: int, entries: int) -> tuple[Truth, MemoryStore]:
    """With a snapshot every few entries."""
    truth, store = Truth(seed), MemoryStore()
    member = Member(truth)
    uploader = Uploader(store, member, NONE, snapshot_after=1, log_bytes=60, part_bytes=200)
    uploader.run()
    for n in range(entries):
        truth.count()
        member.catch_up(truth.index)
        if n % 7 == 6:
            member.take_snapshot()
        uploader.run()
    return truth, store


def is_there(reader: Reader, index: int) -> bool:
    try:
        return restore(reader, reader.contents(HISTORY), AtIndex(index)).index == index
    except ArchiveError:
        return False


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 1 << 30),
    window_ms=st.integers(0, 200_000),
    least=st.integers(1, 4),
    kept=st.lists(st.integers(1, 60), max_size=3),
)
def test_each_moment_of_the_window_and_each_kept_one_stays_at_every_step(
    seed: int, window_ms: int, least: int, kept: list[int]
) -> None:
    truth, store = archive(seed, 60)
    reader = Reader(store, NONE)
    contents = reader.contents(HISTORY)
    for index in kept:
        record = Keep(index, *truth.times[index])
        prune.keep(reader, contents, f"b{index}", record)
    contents = reader.contents(HISTORY)
    names = prune.planned(reader, contents, Policy(window_ms, least))
    newest_ms = truth.times[truth.index][0]
    stay = {i for i, (ms, _) in truth.times.items() if ms >= newest_ms - window_ms} | set(kept)
    for step in range(0, len(names), max(1, len(names) // 6)):
        for name in names[step : step + max(1, len(names) // 6)]:
            store.delete(name)
        assert [i for i in stay if not is_there(reader, i)] == []
    contents = reader.contents(HISTORY)
    assert prune.planned(reader, contents, Policy(window_ms, least)) == [], "one run is enough"
    assert len(reader.snapshots(contents).whole) >= least


def test_what_nothing_needs_is_gone() -> None:
    truth, store = archive(1, 70)
    reader = Reader(store, NONE)
    before = len(store.objects)
    deleted, refused = prune.prune(
        reader, prune.planned(reader, reader.contents(HISTORY), Policy(0, 1))
    )
    assert (deleted, refused) == (before - len(store.objects), [])
    contents = reader.contents(HISTORY)
    assert len(contents.manifests) == 1
    assert not is_there(reader, 2)
    assert is_there(reader, truth.index)


def test_a_year_of_sleep_makes_nothing_old() -> None:
    """The window ends with the newest moment of the archive, and not with today."""
    _, store = archive(1, 30)
    reader = Reader(store, NONE)
    assert prune.planned(reader, reader.contents(HISTORY), Policy(3_600_000, 1)) == []


def test_while_a_kept_moment_cannot_be_read_nothing_goes() -> None:
    truth, store = archive(1, 60)
    reader = Reader(store, NONE)
    record = Keep(9, *truth.times[9])
    prune.keep(reader, reader.contents(HISTORY), "b", record)
    store.objects[keep_name(HISTORY, "b")] = b"?"
    with pytest.raises(DamagedObjectError, match="keep/b"):
        prune.planned(reader, reader.contents(HISTORY), Policy(0, 1))


def test_a_kept_moment_is_released_by_its_name_and_taken_once() -> None:
    truth, store = archive(1, 60)
    reader = Reader(store, NONE)
    record = Keep(9, *truth.times[9])
    for _ in range(2):
        prune.keep(reader, reader.contents(HISTORY), "b", record)
    with pytest.raises(ArchiveError, match="'b' is kept already, as another moment"):
        prune.keep(reader, reader.contents(HISTORY), "b", Keep(8, 1, 1))
    with pytest.raises(ArchiveError, match="'c' is not kept; b is"):
        prune.release(reader, reader.contents(HISTORY), "c")
    prune.release(reader, reader.contents(HISTORY), "b")
    assert reader.contents(HISTORY).keeps == []
    for name in prune.planned(reader, reader.contents(HISTORY), Policy(0, 1)):
        store.delete(name)
    assert not is_there(reader, 9)


def test_a_policy_that_keeps_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="least is 0; at least 0 and 1"):
        Policy(0, 0)

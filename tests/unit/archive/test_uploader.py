"""Uploaders: two of them, one that stopped in the middle, one whose volume was rolled back; and
stores that misbehave in one chosen way."""

from __future__ import annotations

import pytest
from counter_node.archive.reader import Reader
from counter_node.archive.restore import restore
from counter_node.archive.rules.errors import ForkedError, UnreachableMomentError
from counter_node.archive.rules.names import lineage_name, log_name
from counter_node.archive.rules.objects import seal_log
from counter_node.archive.rules.restoring import AtIndex, AtTime, Newest
from counter_node.archive.rules.sealing import Keys
from counter_node.archive.rules.uploading import Have, NeedSnapshot, There, next_step
from counter_node.archive.stores import (
    ExistsError,
    StoreError,
    UnconditionalStoreError,
    probe,
)
from counter_node.archive.uploader import Uploader
from counter_node.archive.verify import verify

from tests.support.archive_store import MemoryStore
from tests.support.archive_world import HISTORY, Member, Truth

NONE = Keys()


def world(entries: int = 40) -> tuple[Truth, Member, MemoryStore]:
    truth = Truth(1)
    for _ in range(entries):
        truth.count()
    member = Member(truth)
    member.catch_up(truth.index)
    return truth, member, MemoryStore()


def upload(store: MemoryStore, member: Member, **sizes: int) -> Uploader:
    uploader = Uploader(store, member, NONE, **sizes)
    uploader.run()
    return uploader


def reached(store: MemoryStore, moment: AtIndex | AtTime | Newest | None = None) -> int:
    reader = Reader(store, NONE)
    return restore(reader, reader.contents(HISTORY), moment or Newest()).index


def test_everything_committed_is_there_and_is_the_same_state() -> None:
    truth, member, store = world()
    uploader = upload(store, member, log_bytes=100)
    assert uploader.behind == 0
    reader = Reader(store, NONE)
    for index in range(1, truth.index + 1):
        found = restore(reader, reader.contents(HISTORY), AtIndex(index))
        assert (found.index, found.machine.snapshot()) == (index, truth.states[index])
    verdict = verify(reader, reader.contents(HISTORY))
    assert (verdict.problems, verdict.gaps) == ([], [])
    assert (verdict.first, verdict.last) == (1, truth.index)


def test_every_time_of_the_history_gives_the_state_of_that_time() -> None:
    truth, member, store = world(60)
    upload(store, member, log_bytes=100)
    reader, previous = Reader(store, NONE), 0
    first, last = truth.times[1][1], truth.times[truth.index][1]
    for at in range(first, last + 1, 500):
        found = restore(reader, reader.contents(HISTORY), AtTime(at), as_far=True)
        assert found.machine.snapshot() == truth.states[found.index]
        beyond = truth.entries.get(found.index + 1)
        if beyond is not None:
            stamp = int.from_bytes(beyond.data[:8], "big")
            assert stamp + truth_offset(truth, found.index) > at
        assert found.index >= previous
        previous = found.index
    with pytest.raises(UnreachableMomentError, match="the archive ends before it"):
        reached(store, AtTime(last + 1))
    with pytest.raises(UnreachableMomentError, match="no snapshot is that old"):
        reached(store, AtTime(first - 1))


def truth_offset(truth: Truth, index: int) -> int:
    log_ms, utc_ms = truth.times[index]
    return utc_ms - log_ms


def test_a_second_uploader_goes_on_where_the_first_one_is() -> None:
    truth, member, store = world()
    first = Uploader(store, member, NONE, log_bytes=100)
    second = Uploader(store, member, NONE, log_bytes=170)
    while first.step().wrote | second.step().wrote:
        pass
    assert reached(store) == truth.index
    assert first.behind == second.behind == 0


def test_what_never_was_committed_is_not_archived() -> None:
    truth, member, store = world()
    member.append_in_vain(5)
    upload(store, member)
    assert reached(store) == truth.index
    truth.elect()
    truth.count()
    member.catch_up(truth.index)
    upload(store, member)
    assert reached(store) == truth.index


def test_a_member_whose_volume_was_rolled_back_stops_and_overwrites_nothing() -> None:
    _, member, store = world()
    upload(store, member, log_bytes=100)
    before = dict(store.objects)
    other = Truth(2)  # the same history id, another line: a copied volume
    for _ in range(60):
        other.count()
    rolled_back = Member(other)
    rolled_back.catch_up(20)
    uploader = Uploader(store, rolled_back, NONE)
    for committed in (20, 41, 60):
        rolled_back.catch_up(committed)
        if committed == 20:
            assert not uploader.run().wrote, "the archive is ahead of it"
    for _ in range(2):
        with pytest.raises(ForkedError, match=r"has another entry \d+ .*forked"):
            uploader.run()
    assert store.objects == before


def test_another_cluster_of_the_same_history_id_is_found_by_its_lineage() -> None:
    _, member, store = world()
    upload(store, member)
    stranger = Member(Truth(1))
    stranger.lineage = lambda: member.lineage().__class__("other/cluster", ())  # type: ignore[method-assign]
    with pytest.raises(ForkedError, match="other/cluster"):
        Uploader(store, stranger, NONE).run()


class OnceLost(MemoryStore):
    """Stores nothing under one name, the first time."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def create(self, name: str, data: bytes) -> None:
        if name == self.name:
            self.name = ""
            return
        super().create(name, data)


def test_an_object_that_the_store_did_not_keep_is_written_again() -> None:
    truth, member, _ = world()
    store = OnceLost(log_name(HISTORY, 2))
    uploader = Uploader(store, member, NONE)
    with pytest.raises(StoreError, match="was created, and is not there"):
        uploader.run()
    uploader.run()
    assert reached(store) == truth.index


class Cuts(MemoryStore):
    """Keeps half of one object."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def create(self, name: str, data: bytes) -> None:
        super().create(name, data[: len(data) // 2] if name == self.name else data)


def test_half_an_object_in_the_way_is_passed_by_a_snapshot() -> None:
    truth, member, _ = world(20)
    store = Cuts(log_name(HISTORY, 2))
    uploader = Uploader(store, member, NONE)
    assert uploader.run().wants == (
        "a snapshot beyond index 1 is needed: entry 2 is damaged in the archive"
    )
    member.take_snapshot()
    for _ in range(5):
        truth.count()
    member.catch_up(truth.index)
    assert not uploader.run().wants
    assert reached(store) == truth.index
    with pytest.raises(UnreachableMomentError, match=r"entries 2 to 21 are not in the archive"):
        reached(store, AtIndex(10))
    reader = Reader(store, NONE)
    assert restore(reader, reader.contents(HISTORY), AtIndex(10), as_far=True).index == 1
    verdict = verify(reader, reader.contents(HISTORY))
    assert (verdict.problems, verdict.gaps) == ([], [(2, 21)])
    again = Uploader(store, member, NONE)
    assert (again.run().wants, again.there and again.there.end) == ("", truth.index)


def test_a_log_that_was_let_go_leaves_a_gap_that_is_recorded() -> None:
    truth, member, store = world(20)
    upload(store, member)
    for _ in range(20):
        truth.count()
    member.catch_up(truth.index - 5)
    member.take_snapshot(compact_to=truth.index)
    member.catch_up(truth.index)
    upload(store, member)
    assert reached(store) == truth.index
    reader = Reader(store, NONE)
    verdict = verify(reader, reader.contents(HISTORY))
    assert (verdict.problems, verdict.gaps) == ([], [(22, truth.index - 5)])
    with pytest.raises(UnreachableMomentError, match=r"cannot be reached.*leads to index 21"):
        reached(store, AtIndex(25))


def test_a_late_writer_meets_the_gap_and_goes_on_behind_it() -> None:
    """Its request was on the way for minutes (a frozen server, a proxy): the name is taken."""
    truth, member, store = world(20)
    uploader = upload(store, member)
    late_name = log_name(HISTORY, truth.index + 1)
    truth.count()
    late = seal_log(late_name, [truth.entries[truth.index]], uploader._previous, NONE)
    member.catch_up(truth.index)
    member.take_snapshot(compact_to=truth.index + 1)
    upload(store, member)
    with pytest.raises(ExistsError):
        store.create(late_name, late)
    assert reached(store) == truth.index


def test_each_deleted_or_damaged_object_is_named_and_never_makes_a_mixture() -> None:
    truth, member, store = world(30)
    upload(store, member, log_bytes=100, part_bytes=60)
    for name, data in list(store.objects.items()):
        if name == lineage_name(HISTORY):
            continue
        for instead in (None, data[:-1], data[:20] + b"?" + data[21:]):
            broken = MemoryStore()
            broken.objects = {**store.objects, **({name: instead} if instead else {})}
            if instead is None:
                del broken.objects[name]
            try:
                index = reached(broken)
            except UnreachableMomentError:
                index = 0
            assert index in (0, truth.index) or instead is None
            reader = Reader(broken, NONE)
            verdict = verify(reader, reader.contents(HISTORY))
            found = any(name[-16:] in p or "is not in the archive" in p or "no whole" in p
                        for p in verdict.problems)  # fmt: skip
            last = instead is None and name == max(n for n in store.objects if "/log/" in n)
            assert found or last or name == log_name(HISTORY, 1), (name, verdict)


class Replaces(MemoryStore):
    def create(self, name: str, data: bytes) -> None:
        self.objects[name] = data


def test_a_store_that_replaces_what_is_there_is_found_out_before_the_first_write() -> None:
    store = MemoryStore()
    probe(store)
    assert not store.objects
    with pytest.raises(UnconditionalStoreError, match=r"does not know conditional writes"):
        probe(Replaces())


def test_nothing_to_restore_from_means_that_a_snapshot_goes_first() -> None:
    have = Have(committed=9, first=2, snapshot=0)
    assert next_step(have, There(lineage=True)) == NeedSnapshot(0, "the archive has none yet")


class Prunes(MemoryStore):
    """Retention takes an object while a restore reads."""

    def __init__(self, store: MemoryStore, victim: str, after: int) -> None:
        super().__init__()
        self.objects = dict(store.objects)
        self._victim, self._left = victim, after

    def get(self, name: str) -> bytes:
        self._left -= 1
        if self._left == 0:
            self.objects.pop(self._victim, None)
        return super().get(name)


def test_a_restore_beside_retention_names_what_went_and_is_never_a_mixture() -> None:
    truth, member, store = world(30)
    upload(store, member, log_bytes=100, part_bytes=60)
    for victim in store.objects:
        for after in range(1, 12):
            reader = Reader(Prunes(store, victim, after), NONE)
            contents = reader.contents(HISTORY)
            said, state = "", b""
            try:
                state = restore(reader, contents, Newest()).machine.snapshot()
            except UnreachableMomentError as error:
                said = str(error)
            assert state == truth.states[truth.index] or victim.rpartition("/")[2] in said


def test_an_uploader_that_was_away_reads_the_store_again_first() -> None:
    """Names that it would use are free again: retention has run meanwhile."""
    truth, member, store = world(20)
    now_s = 0.0
    away = Uploader(store, member, NONE, clock=lambda: now_s)
    away.run()
    for _ in range(2):
        for _ in range(20):
            truth.count()
        member.catch_up(truth.index)
        upload(store, member)
    member.take_snapshot()
    upload(store, member, snapshot_after=1)
    for name in [n for n in store.objects if "/log/" in n][:-1]:
        store.delete(name)
    before = set(store.objects)
    now_s += 3600
    truth.count()
    member.catch_up(truth.index)
    away.run()
    assert set(store.objects) - before == {log_name(HISTORY, truth.index)}
    assert reached(store) == truth.index

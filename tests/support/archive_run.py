"""One run of members, uploaders, a store and retention, by a seed, and what must hold throughout.

At any moment: leaders change, members fall behind, catch up, take snapshots and cut their logs, and
append what is never committed; two uploaders write for two members, and die between any two writes,
or in one; the store does what archive_store.py lists; retention runs; moments are kept.

1. Whatever prefix of the writes the store has, a restore gives the state of one index, exactly as
   it was, or an error.
2. No manifest names a part that is not there. (Only if the store never lied.)
3. When an uploader says that all is there, a restore reaches all that its member had committed.
   Also if the store lied before: what counts is what was read back.
4. Retention takes no kept moment, and none of the window.
5. When the faults end, everything is archived, and no fork was seen.
"""

from __future__ import annotations

import contextlib
import random

from counter_node.archive import prune
from counter_node.archive.reader import Reader
from counter_node.archive.restore import Restored, restore
from counter_node.archive.rules.contents import Contents, contents_of
from counter_node.archive.rules.errors import ArchiveError
from counter_node.archive.rules.objects import MANIFEST, Keep, Manifest, unseal_record
from counter_node.archive.rules.restoring import AtIndex, AtTime, Moment, Newest
from counter_node.archive.rules.retention import Policy
from counter_node.archive.rules.sealing import Keys
from counter_node.archive.stores import StoreError
from counter_node.archive.uploader import Uploader

from tests.support.archive_store import HONEST, LIES, MemoryStore, after
from tests.support.archive_world import Member, Truth

STEPS = 240
STEP_S = 60.0
"""Ten of them, and an uploader that did nothing meanwhile was away."""
POLICY = Policy(window_ms=48_000, least=1)
KEYS = Keys({"2026-01": b"a" * 32, "2026-02": b"b" * 32}, "2026-01")


class Run:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now_s = 0.0
        self.truth = Truth(seed)
        self.members = [Member(self.truth) for _ in range(3)]
        self.store = MemoryStore(seed)
        self.keys = KEYS if seed % 2 else Keys()
        self.readable = Keys({"2026-01": b"a" * 32, "2026-02": b"b" * 32})
        self.uploaders = [self.uploader() for _ in range(2)]
        self.kept: dict[str, int] = {}
        if seed % 3:
            self.store.faults = HONEST if seed % 3 == 1 else (*HONEST, *LIES)
            self.store.rate = 0.15

    def uploader(self) -> Uploader:
        member = self.random.choice(self.members)
        sizes = {"snapshot_after": 500, "log_bytes": 300, "part_bytes": 150}
        return Uploader(self.store, member, self.keys, clock=lambda: self.now_s, **sizes)

    def all(self) -> None:
        actions = [
            *[self.truth.count] * 6, self.truth.elect, *[self.catch_up] * 3, self.in_vain,
            self.snapshot, *[self.upload] * 6, self.upload_all, self.kill, self.store.land,
            self.rotate, self.retain, self.keep,
        ]  # fmt: skip
        for _ in range(STEPS):
            self.now_s += STEP_S
            self.random.choice(actions)()
        self.settle()
        self.check_prefixes()

    # --- what happens -----------------------------------------------------------------------------

    def catch_up(self) -> None:
        member = self.random.choice(self.members)
        member.catch_up(self.random.randint(member.committed, self.truth.index))

    def in_vain(self) -> None:
        self.random.choice(self.members).append_in_vain(self.random.randint(1, 4))

    def snapshot(self) -> None:
        member = self.random.choice(self.members)
        compact_to = self.random.choice((0, member.committed // 2, member.committed + 1))
        member.take_snapshot(compact_to=compact_to)

    def upload(self) -> None:
        with contextlib.suppress(StoreError):
            self.random.choice(self.uploaders).step()

    def upload_all(self) -> None:
        uploader = self.random.choice(self.uploaders)
        try:
            done = uploader.run()
        except StoreError:
            return
        if not done.wants:
            self.check_all_there(uploader)

    def kill(self) -> None:
        """The process, or only the store's client; another member may be asked to go on."""
        self.uploaders[self.random.randrange(2)] = self.uploader()

    def rotate(self) -> None:
        if self.keys.active:
            keys = {"2026-01": b"a" * 32, "2026-02": b"b" * 32}
            self.keys = Keys(keys, self.random.choice(sorted(keys)))
            self.random.choice(self.uploaders).keys = self.keys

    def retain(self) -> None:
        """One after the other, and perhaps not all: each moment that must stay is restored."""
        reader = Reader(after(self.store.journal), self.readable)
        if not self.store.objects:
            return
        contents = reader.contents(self.truth.history)
        with contextlib.suppress(ArchiveError):
            names = prune.planned(reader, contents, POLICY)
            moments = self.moments(reader, contents)
            reachable = [m for m in moments if self.reaches(reader, m)]
            done = names[: self.random.randint(0, len(names))]
            for name in done:
                with contextlib.suppress(StoreError):
                    self.store.delete(name)
            left = Reader(after(self.store.journal), self.readable)
            for moment in reachable:
                assert self.reaches(left, moment), f"retention took {moment}"

    def moments(self, reader: Reader, contents: Contents) -> list[Moment]:
        """Those that must stay: kept ones, and some of the window, which ends with the newest
        entry or snapshot of the archive."""
        end = max((name.index for name in contents.manifests), default=1)
        for first in contents.logs:
            with contextlib.suppress(ArchiveError):
                end = max(end, reader.log(contents.history, first).facts.last)
        newest_ms = self.truth.times[end][0]
        window = [
            i for i, (log_ms, _) in self.truth.times.items()
            if newest_ms - POLICY.window_ms <= log_ms and i <= end
        ]  # fmt: skip
        chosen = self.random.sample(window, min(4, len(window)))
        return [AtIndex(i) for i in (*self.kept.values(), *chosen)]

    def keep(self) -> None:
        reader = Reader(self.store, self.readable)
        with contextlib.suppress(ArchiveError):
            contents = reader.contents(self.truth.history)
            found = restore(reader, contents, Newest())
            name = f"b{len(self.kept)}"
            record = Keep(found.index, *self.truth.times[found.index])
            prune.keep(reader, contents, name, record)
            self.kept[name] = found.index

    # --- what must hold ---------------------------------------------------------------------------

    def reaches(self, reader: Reader, moment: Moment) -> bool:
        try:
            self.restored(reader, moment)
        except ArchiveError:
            return False
        return True

    def restored(self, reader: Reader, moment: Moment, *, as_far: bool = False) -> Restored:
        found = restore(reader, reader.contents(self.truth.history), moment, as_far=as_far)
        assert found.machine.snapshot() == self.truth.states[found.index], (
            f"{moment}: not the state of index {found.index}"
        )
        assert found.term == self.truth.term_at(found.index)
        if isinstance(moment, AtIndex) and not as_far:
            assert found.index == moment.index
        return found

    def check_all_there(self, uploader: Uploader) -> None:
        """Behind what this member has, the other one may have written what the store damaged."""
        committed = uploader._source.have().committed
        reader = Reader(after(self.store.journal), self.readable)
        found = self.restored(reader, Newest(), as_far=bool(self.store.lied))
        assert found.index >= committed, f"{found.index} of {committed}, and nothing was missing"

    def check_prefixes(self) -> None:
        journal = self.store.journal
        chosen = self.random.sample(range(len(journal)), min(40, len(journal)))
        for count in sorted(chosen):
            store = after(journal[: count + 1])
            reader = Reader(store, self.readable)
            self.check_manifests(store)
            moments: list[Moment] = [Newest(), AtIndex(self.random.randint(1, self.truth.index))]
            times = sorted(utc for _, utc in self.truth.times.values())
            moments.append(AtTime(self.random.choice(times)))
            for moment in moments:
                for as_far in (False, True):
                    with contextlib.suppress(ArchiveError):
                        self.restored(reader, moment, as_far=as_far)

    def check_manifests(self, store: MemoryStore) -> None:
        if self.store.lied or any(data is None for _, data in self.store.journal):
            return
        for contents in contents_of(store.list()).values():
            for name in contents.manifests:
                key = name.manifest(contents.history)
                manifest = unseal_record(MANIFEST, key, store.get(key), self.readable, Manifest)
                assert contents.is_whole(name, manifest), f"{key} names what is not there"

    def settle(self) -> None:
        """The store is well again, and one member has everything."""
        self.store.heal()
        member = self.members[0]
        member.catch_up(self.truth.index)
        self.uploaders = [Uploader(self.store, member, self.keys, snapshot_after=500)]
        uploader = self.uploaders[0]
        if uploader.run().wants:
            member.take_snapshot()
            assert not uploader.run().wants
        assert uploader.behind == 0
        self.check_all_there(uploader)
        for name, index in self.kept.items():
            if not self.store.lied:
                reader = Reader(self.store, self.readable)
                assert self.reaches(reader, AtIndex(index)), f"kept moment {name} is gone"

"""Breakages of the archive: what is uploaded, what is deleted, what a restore believes."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from counter_node.archive import restore, uploader
from counter_node.archive.rules import retention, uploading
from counter_node.archive.rules.contents import Contents
from counter_node.archive.rules.names import SnapshotName
from counter_node.archive.rules.objects import (
    MANIFEST,
    PART,
    Manifest,
    StoredPart,
    seal,
    seal_record,
    stored_digest,
)
from counter_node.archive.rules.sealing import Keys
from counter_node.archive.stores import ExistsError
from counter_node.archive.uploader import Uploader

from tests.mutations.breakage import Patch, mutation

TESTS = ("tests/unit/archive",)


@mutation("a snapshot's manifest is written before its parts", tests=TESTS)
def manifest_before_the_parts(patch: Patch) -> None:
    original = uploader._SnapshotJob.next

    def following(self: Any, history: str, cluster_id: str) -> tuple[str, bytes]:
        if self._parts or getattr(self, "first", False):
            return original(self, history, cluster_id)
        self.first, size = True, self._part_bytes
        for number, offset in enumerate(range(0, self.snapshot.size, size)):
            name = self._name.part(history, number)
            data = seal(PART, name, self.snapshot.piece(offset, size), self.keys)
            self._parts.append(StoredPart(len(data), stored_digest(data)))
        name = self._name.manifest(history)
        manifest = seal_record(MANIFEST, name, self._manifest(cluster_id), self.keys)
        self._parts.clear()
        self._expected = manifest
        return name, manifest

    took = uploader._SnapshotJob.took

    def took_it(self: Any, name: str, found: bytes) -> bool:
        done = took(self, name, found)
        if self.done and not self._parts:
            self.done = False
        return done

    patch(uploader._SnapshotJob, "next", following)
    patch(uploader._SnapshotJob, "took", took_it)


@mutation("at a change of leader, the rest of the old term is skipped", tests=TESTS)
def segment_skipped_at_a_change_of_leader(patch: Patch) -> None:
    original = Uploader._write_log

    def write(self: Any, there: Any, first: int, last: int) -> None:
        entries = self._source.entries(first, last)
        newer = [entry.index for entry in entries if entry.term != entries[0].term]
        original(self, there, newer[0] if newer else first, last)

    patch(Uploader, "_write_log", write)


@mutation("entries that are not committed are archived", tests=TESTS)
def uncommitted_entries_are_archived(patch: Patch) -> None:
    original = uploading.next_step

    def step(*arguments: Any, **options: Any) -> Any:
        found = original(*arguments, **options)
        if isinstance(found, uploading.WriteLog):
            return uploading.WriteLog(found.first, found.last + 2)
        return found

    patch(uploading, "next_step", step)


@mutation("retention takes the snapshot that the oldest moment of the window needs", tests=TESTS)
def retention_counts_one_too_few(patch: Patch) -> None:
    original = retention._base_of_window

    def base(
        snapshots: Sequence[SnapshotName],
        whole: Mapping[SnapshotName, Manifest],
        newest_ms: int,
        policy: Any,
    ) -> SnapshotName:
        found = snapshots.index(original(snapshots, whole, newest_ms, policy))
        return snapshots[min(found + 1, len(snapshots) - 1)]

    patch(retention, "_base_of_window", base)


@mutation("retention forgets that moments are kept", tests=TESTS)
def retention_forgets_kept_moments(patch: Patch) -> None:
    original = retention.to_delete

    def to_delete(contents: Contents, whole: Any, newest_ms: int, kept: Any, policy: Any) -> Any:
        return original(contents, whole, newest_ms, (), policy)

    from counter_node.archive import prune

    patch(prune, "to_delete", to_delete)


@mutation("what was written is not read back", tests=TESTS)
def written_objects_are_not_read_back(patch: Patch) -> None:
    def create(self: Any, name: str, data: bytes) -> bytes:
        with contextlib.suppress(ExistsError):
            self._store.create(name, data)
            return data
        return bytes(self._store.get(name))

    patch(Uploader, "_create", create)


@mutation("what another one wrote under the name is not compared", tests=TESTS)
def others_objects_are_not_compared(patch: Patch) -> None:
    patch(uploading, "compare", lambda history, piece, entries: None)


@mutation("a log that ends too early passes for the newest moment", tests=TESTS)
def restore_ends_early_without_a_word(patch: Patch) -> None:
    original = restore._replay

    def replay(*arguments: Any) -> str:
        original(*arguments)
        return ""

    patch(restore, "_replay", replay)


@mutation("a restored cluster goes on in the old history", tests=TESTS)
def restore_keeps_the_history(patch: Patch) -> None:
    from counter_node.counters.machine import Machine

    patch(Machine, "begin_history", lambda self, history: None)


@mutation("objects of one size are encrypted with one key", tests=TESTS)
def salt_of_the_size_alone(patch: Patch) -> None:
    def salt(self: Keys, key_id: str, name: str, header: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(32, "big")

    patch(Keys, "salt", salt)


@mutation("an uploader that was away goes on with what it remembers", tests=TESTS)
def long_absence_is_not_noticed(patch: Patch) -> None:
    patch(uploader, "AWAY_S", float("inf"))


@mutation("a damaged object is passed without a word beside it", tests=TESTS)
def damage_is_passed_without_a_mark(patch: Patch) -> None:
    def passed(self: Any, there: Any, first: int, last: int) -> None:
        there.end, self._previous, self._last = last, b"", None

    patch(Uploader, "_pass_damaged", passed)

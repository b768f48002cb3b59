"""Brings a member's history into the archive, one object at a time (rules/uploading.py decides).

1. What counts is what was read back. Each object is read again after it was created, and compared:
   a store that cut it off, changed it or lost it is found out now, and not by a restore.
2. Nothing is remembered elsewhere: an uploader that starts finds out from the store where the line
   ends. It may be killed between any two writes.
3. A StoreError is no state: the same step is due again at the next call.
4. An uploader that was away for long (a machine that slept) reads the store again first: retention
   may have freed names since. So does one that met a damaged object, as another may have passed it.
5. What the archive has and this member does not have yet is compared as soon as it has it. A member
   whose volume was rolled back finds out so, and stops (ForkedError, from then on always).
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable
from typing import Final

import msgspec

from counter_node.archive.rules import uploading
from counter_node.archive.rules.contents import Contents, contents_of
from counter_node.archive.rules.errors import (
    DamagedObjectError,
    ForkedError,
    MissingKeyError,
    UnencryptedObjectError,
)
from counter_node.archive.rules.names import SnapshotName, lineage_name, log_name, passed_name
from counter_node.archive.rules.objects import (
    LINEAGE,
    MANIFEST,
    PART,
    LineageRecord,
    LogPiece,
    Manifest,
    StoredPart,
    seal,
    seal_gap,
    seal_log,
    seal_record,
    stored_digest,
    unseal,
    unseal_log,
    unseal_record,
)
from counter_node.archive.rules.sealing import Keys
from counter_node.archive.rules.uploading import There
from counter_node.archive.source import SnapshotSource, Source
from counter_node.archive.stores import AbsentError, ExistsError, Store, StoreError


class Done(msgspec.Struct, frozen=True):
    """One step. `wants`: nothing can be written before the member does something, in words."""

    wrote: bool
    wants: str = ""


NOTHING: Final = Done(False)
AWAY_S: Final = 600.0
"""By the running clock; much less than any window of retention (LEAST_WINDOW_MS)."""


def running_s() -> float:
    """It goes on while the machine sleeps, and nobody sets it."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Uploader:
    def __init__(
        self,
        store: Store,
        source: Source,
        keys: Keys,
        *,
        snapshot_after: int = uploading.SNAPSHOT_AFTER_BYTES,
        log_bytes: int = uploading.LOG_BYTES,
        part_bytes: int = uploading.PART_BYTES,
        clock: Callable[[], float] = running_s,
    ) -> None:
        self.keys = keys
        """May be changed between steps: the next object is encrypted with the key that is active
        then."""
        self.there: There | None = None
        """None until the archive was read."""
        self._store, self._source = store, source
        self._snapshot_after, self._log_bytes = snapshot_after, log_bytes
        self._part_bytes = part_bytes
        self._history = source.history
        self._previous = b""
        self._compared = 0  # up to here the line is known to be this member's
        self._last: LogPiece | None = None
        self._job: _SnapshotJob | None = None
        self._clock, self._active_s = clock, clock()
        self._forked: ForkedError | None = None

    @property
    def behind(self) -> int:
        """Committed entries that are not in the archive."""
        there = self.there
        return max(0, self._source.have().committed - (there.end if there else 0))

    def step(self, *, log_due: bool = True) -> Done:
        """At most one write. Raises StoreError, ForkedError, or another ArchiveError for an archive
        that this program cannot work with."""
        if self._forked is not None:
            raise self._forked
        try:
            return self._step(log_due)
        except ForkedError as error:
            self._forked = error
            raise

    def run(self, most: int = 1 << 40) -> Done:
        """Steps until there is nothing to do, or `most` were done."""
        wrote = False
        for _ in range(most):
            done = self.step()
            if not done.wrote:
                return Done(wrote, done.wants)
            wrote = True
        return Done(wrote)

    def close(self) -> None:
        if self._job is not None:
            self._job.snapshot.close()
            self._job = None

    def _step(self, log_due: bool) -> Done:
        now_s = self._clock()
        if now_s - self._active_s > AWAY_S:
            self.there = None
            self.close()
        self._active_s = now_s
        there = self.there
        if there is None:
            there = self.there = self._discover()
        self._compare()
        have = self._source.have()
        step = uploading.next_step(
            have, there, log_due=log_due, snapshot_after=self._snapshot_after
        )
        match step:
            case uploading.WriteLineage():
                self._write_lineage(there)
            case uploading.WriteLog():
                self._write_log(there, step.first, step.last)
            case uploading.WriteGap():
                self._write_gap(there, step.first, step.last)
            case uploading.PassDamaged():
                self._pass_damaged(there, step.first, step.last)
            case uploading.WriteSnapshot():
                self._write_snapshot(there)
            case uploading.NeedSnapshot():
                return Done(False, f"a snapshot beyond index {step.index} is needed: {step.reason}")
            case None:
                if self._job is None:
                    return NOTHING
                self._write_snapshot(there)
        return Done(True)

    # --- what is there ----------------------------------------------------------------------------

    def _discover(self) -> There:
        listed = contents_of(self._store.list(self._history + "/"))
        contents = listed.get(self._history, Contents(self._history))
        there = There(lineage=contents.lineage)
        if contents.lineage:
            self._check_lineage()
        there.snapshot = self._newest_whole(contents)
        sizes = contents.log_sizes.items()
        there.log_bytes = sum(size for first, size in sizes if first > there.snapshot)
        for first in reversed(contents.logs):
            name = log_name(self._history, first)
            try:
                piece = unseal_log(name, self._store.get(name), self.keys)
            except UnencryptedObjectError:
                raise  # from before encryption was switched on, most likely: the line is whole
            except DamagedObjectError:
                passed = self._passed(first) if first in contents.passed else None
                if passed is None:
                    there.damaged.add(first)
                    there.end = first - 1
                    continue
                piece = passed
            if not there.damaged:
                there.end = piece.facts.last
            self._last, self._previous = piece, piece.digest
            break
        self._compared = 0
        return there

    def _passed(self, first: int) -> LogPiece | None:
        name = passed_name(self._history, first)
        try:
            return unseal_log(name, self._store.get(name), self.keys)
        except DamagedObjectError:
            return None

    def _newest_whole(self, contents: Contents) -> int:
        for name in sorted(contents.manifests, reverse=True):
            key = name.manifest(self._history)
            try:
                manifest = unseal_record(MANIFEST, key, self._store.get(key), self.keys, Manifest)
            except DamagedObjectError:
                continue
            if contents.is_whole(name, manifest):
                return name.index
        return 0

    def _check_lineage(self) -> None:
        """An archive of another cluster is not written to."""
        name = lineage_name(self._history)
        try:
            found = unseal_record(LINEAGE, name, self._store.get(name), self.keys, LineageRecord)
        except DamagedObjectError:
            return  # it is for people; the log itself is compared as well
        own = self._source.lineage()
        if found != own:
            raise ForkedError(name, f"is of {found}, this member is of {own}")

    def _compare(self) -> None:
        """The newest object of the line with what this member has of it by now."""
        piece = self._last
        if piece is None or piece.facts.gap or self._compared >= piece.facts.last:
            return
        have = self._source.have()
        first = max(piece.facts.first, have.first, self._compared + 1)
        last = min(piece.facts.last, have.committed)
        while first <= last:
            entries = self._source.entries(first, last)
            uploading.compare(self._history, piece, entries)
            first = self._compared = entries[-1].index
            first += 1
        if have.first > piece.facts.last:
            self._compared = piece.facts.last

    # --- writing ----------------------------------------------------------------------------------

    def _create(self, name: str, data: bytes) -> bytes:
        """What is under the name afterwards, whoever wrote it."""
        with contextlib.suppress(ExistsError):
            self._store.create(name, data)
        try:
            return self._store.get(name)
        except AbsentError as error:
            raise StoreError(
                f"{self._store.where}: {name} was created, and is not there"
            ) from error

    def _write_lineage(self, there: There) -> None:
        name = lineage_name(self._history)
        self._create(name, seal_record(LINEAGE, name, self._source.lineage(), self.keys))
        self._check_lineage()
        there.lineage = True

    def _write_log(self, there: There, first: int, last: int) -> None:
        entries = self._source.entries(first, last)
        entries = entries[: uploading.one_object(entries, self._log_bytes)]
        name = log_name(self._history, first)
        data = seal_log(name, entries, self._previous, self.keys)
        self._take(there, first, data, self._create(name, data))

    def _write_gap(self, there: There, first: int, last: int) -> None:
        name = log_name(self._history, first)
        data = seal_gap(name, first, last, self._previous, self.keys)
        self._take(there, first, data, self._create(name, data))

    def _pass_damaged(self, there: There, first: int, last: int) -> None:
        """Where another one passed it before, the line goes on where that one said."""
        name = passed_name(self._history, first)
        found = self._create(name, seal_gap(name, first, last, b"", self.keys))
        try:
            piece = unseal_log(name, found, self.keys)
        except DamagedObjectError:
            there.end, self._previous, self._last = last, b"", None
            return
        self._previous, there.end, self._last = piece.digest, piece.facts.last, piece
        there.snapshot = max(there.snapshot, piece.facts.last)

    def _take(self, there: There, first: int, written: bytes, found: bytes) -> None:
        """The line goes on behind what is there."""
        try:
            piece = unseal_log(log_name(self._history, first), found, self.keys)
        except DamagedObjectError:
            self.there = None
            return
        self._last, self._previous, there.end = piece, piece.digest, piece.facts.last
        there.log_bytes += len(found)
        if piece.facts.gap:
            there.snapshot = max(there.snapshot, piece.facts.last)
        if found == written:
            self._compared = piece.facts.last
        else:
            self._compared = first - 1
            self._compare()

    def _write_snapshot(self, there: There) -> None:
        """The next object of it."""
        if self._job is None:
            self._job = _SnapshotJob(self._source.open_snapshot(), self.keys, self._part_bytes)
        job = self._job
        index = job.snapshot.meta.index
        name, data = job.next(self._history, self._source.lineage().cluster_id)
        found = self._create(name, data)
        if not job.took(name, found):
            there.useless.add(index)
            self.close()
        elif job.done:
            there.snapshot, there.log_bytes = max(there.snapshot, index), 0
            self.close()


class _SnapshotJob:
    """A snapshot on its way: its parts, and then the manifest, all with the key of its beginning.

    Its state is read twice: its name is made of its digest."""

    def __init__(self, snapshot: SnapshotSource, keys: Keys, part_bytes: int) -> None:
        self.snapshot, self.keys = snapshot, keys
        self.done = False
        self._part_bytes = part_bytes
        digest = hashlib.sha256()
        for offset in range(0, snapshot.size, part_bytes):
            digest.update(snapshot.piece(offset, part_bytes))
        self._digest = digest.digest()
        meta = snapshot.meta
        self._name = SnapshotName(meta.index, meta.term, keys.print_of(self._digest))
        self._parts: list[StoredPart] = []
        self._expected = b""

    def next(self, history: str, cluster_id: str) -> tuple[str, bytes]:
        number = len(self._parts)
        offset = number * self._part_bytes
        if offset < self.snapshot.size:
            name = self._name.part(history, number)
            data = seal(PART, name, self.snapshot.piece(offset, self._part_bytes), self.keys)
        else:
            name = self._name.manifest(history)
            data = seal_record(MANIFEST, name, self._manifest(cluster_id), self.keys)
        self._expected = data
        return name, data

    def took(self, name: str, found: bytes) -> bool:
        """False: the store has something else there, and this snapshot cannot be finished. Other
        bytes of the same content are as good: another version compressed them."""
        manifest = name.endswith(".manifest")
        if found != self._expected:
            kind = MANIFEST if manifest else PART
            try:
                content = unseal(kind, name, found, self.keys).content
            except (DamagedObjectError, MissingKeyError):
                return False
            if content != unseal(kind, name, self._expected, self.keys).content:
                return False
        if manifest:
            self.done = True
        else:
            self._parts.append(StoredPart(len(found), stored_digest(found)))
        return True

    def _manifest(self, cluster_id: str) -> Manifest:
        snapshot, meta = self.snapshot, self.snapshot.meta
        return Manifest(
            cluster_id,
            meta.index,
            meta.term,
            meta.membership,
            snapshot.size,
            self._digest,
            snapshot.log_ms,
            snapshot.utc_ms,
            tuple(self._parts),
        )

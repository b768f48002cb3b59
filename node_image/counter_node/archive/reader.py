"""Reading an archive, and trusting nothing in it: every object is checked before it is used."""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

from counter_node.archive.rules.contents import Contents, contents_of
from counter_node.archive.rules.errors import (
    ArchiveError,
    DamagedObjectError,
    MissingKeyError,
    NewerFormatError,
    UnreachableMomentError,
)
from counter_node.archive.rules.names import (
    SnapshotName,
    keep_name,
    lineage_name,
    log_name,
    passed_name,
)
from counter_node.archive.rules.objects import (
    KEEP,
    LINEAGE,
    MANIFEST,
    PART,
    Keep,
    LineageRecord,
    LogPiece,
    Manifest,
    unseal,
    unseal_log,
    unseal_record,
)
from counter_node.archive.rules.sealing import Keys
from counter_node.archive.stores import AbsentError, Store
from counter_node.counters import history as histories

DAMAGED: Final = (DamagedObjectError, AbsentError)
UNREADABLE: Final = (*DAMAGED, MissingKeyError, NewerFormatError)


class Snapshots(msgspec.Struct, frozen=True):
    """`damaged`: why the others are none, in words."""

    whole: dict[SnapshotName, Manifest]
    damaged: list[str]


class Reader:
    def __init__(self, store: Store, keys: Keys, *, threads: int = 0) -> None:
        """`threads`: so many read ahead where a log is followed (ahead.py)."""
        self.store, self.keys, self.threads = store, keys, threads

    def histories(self) -> dict[str, Contents]:
        return contents_of(self.store.list())

    def contents(self, history: str) -> Contents:
        found = contents_of(self.store.list(history + "/")).get(history)
        if found is None:
            raise UnreachableMomentError(
                f"{self.store.where}: there is nothing of history {history}. Check the address and "
                f"the prefix"
            )
        return found

    def choose(self) -> Contents:
        """The history to restore where none is named: the one that is no ancestor of another."""
        found = self.histories()
        if not found:
            raise UnreachableMomentError(
                f"{self.store.where}: there is no archive. Check the address and the prefix"
            )
        ancestors: set[str] = set()
        unread: list[str] = []
        for history, contents in found.items():
            if contents.lineage:
                try:
                    record = self.lineage(history)
                except DAMAGED as error:
                    unread.append(str(error))
                    continue
                ancestors.update(set(histories.ids(record.lineage)) - {history})
        newest = sorted(set(found) - ancestors)
        if len(newest) != 1:
            why = "; ".join(["none is known to come from another", *unread])
            raise UnreachableMomentError(
                f"{self.store.where}: histories {', '.join(newest)} are there: {why}. Say which "
                f"one with --history"
            )
        return found[newest[0]]

    def lineage(self, history: str) -> LineageRecord:
        name = lineage_name(history)
        return unseal_record(LINEAGE, name, self.store.get(name), self.keys, LineageRecord)

    def snapshots(
        self, contents: Contents, *, passed_over: tuple[type[ArchiveError], ...] = DAMAGED
    ) -> Snapshots:
        """Manifests that cannot be read for another reason than `passed_over` raise it."""
        found = Snapshots({}, [])
        for name in sorted(contents.manifests):
            key = name.manifest(contents.history)
            try:
                stored = self.store.get(key)
                manifest = unseal_record(MANIFEST, key, stored, self.keys, Manifest)
            except passed_over as error:
                found.damaged.append(str(error))
                continue
            if (manifest.index, manifest.term) != (name.index, name.term):
                found.damaged.append(f"object {key}: is of index {manifest.index}")
            elif not contents.is_whole(name, manifest):
                found.damaged.append(f"object {key}: names parts that are not there")
            else:
                found.whole[name] = manifest
        return found

    def keeps(self, contents: Contents) -> dict[str, Keep]:
        """Raises DamagedObjectError: what cannot be read might keep anything."""
        return {name: self.keep(contents.history, name) for name in contents.keeps}

    def keep(self, history: str, name: str) -> Keep:
        key = keep_name(history, name)
        return unseal_record(KEEP, key, self.store.get(key), self.keys, Keep)

    def log(self, history: str, first: int) -> LogPiece:
        name = log_name(history, first)
        return unseal_log(name, self.store.get(name), self.keys)

    def passed(self, history: str, first: int) -> LogPiece:
        """What stands beside a damaged log object. Raises DamagedObjectError, AbsentError."""
        name = passed_name(history, first)
        return unseal_log(name, self.store.get(name), self.keys)

    def state(self, history: str, name: SnapshotName, manifest: Manifest) -> bytes:
        """The whole state. Raises DamagedObjectError, AbsentError."""
        pieces, digest = [], hashlib.sha256()
        for number, part in enumerate(manifest.parts):
            key = name.part(history, number)
            opened = unseal(PART, key, self.store.get(key), self.keys)
            if opened.digest != part.digest:
                raise DamagedObjectError(key, "is not the one that the manifest names")
            digest.update(opened.content)
            pieces.append(opened.content)
        state = b"".join(pieces)
        if len(state) != manifest.state_bytes or digest.digest() != manifest.state_digest:
            raise DamagedObjectError(
                name.manifest(history), "the parts together are not the state that it names"
            )
        return state

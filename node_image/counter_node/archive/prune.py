"""Retention at work: deletes what rules/retention.py finds, in its order, and keeps moments."""

from __future__ import annotations

import contextlib

from counter_node.archive.reader import Reader
from counter_node.archive.rules.contents import Contents
from counter_node.archive.rules.errors import (
    ArchiveError,
    DamagedObjectError,
    UnreachableMomentError,
)
from counter_node.archive.rules.names import keep_name
from counter_node.archive.rules.objects import (
    KEEP,
    Keep,
    Manifest,
    seal_record,
    unseal_record,
)
from counter_node.archive.rules.retention import Policy, to_delete
from counter_node.archive.stores import AbsentError, ExistsError, RefusedError, StoreError


def planned(reader: Reader, contents: Contents, policy: Policy) -> list[str]:
    """What may go. Raises ArchiveError; nothing may while a kept moment cannot be read."""
    snapshots = reader.snapshots(contents)
    if not snapshots.whole:
        return []
    kept = [keep.index for keep in reader.keeps(contents).values()]
    newest_ms = _newest_ms(reader, contents, snapshots.whole[max(snapshots.whole)])
    return to_delete(contents, snapshots.whole, newest_ms, kept, policy)


def _newest_ms(reader: Reader, contents: Contents, newest: Manifest) -> int:
    """Log time at the end of the line, or less where that cannot be read: then more is kept."""
    try:
        last = reader.log(contents.history, contents.logs[-1]).facts.last_ms
    except (DamagedObjectError, IndexError):
        last = 0
    return max(last, newest.log_ms)


def prune(reader: Reader, names: list[str]) -> tuple[int, list[str]]:
    """How many were deleted, and why others were not: an object that the store holds for a time of
    its own (Object Lock) goes another day. Raises StoreError where the store does not answer."""
    deleted, refused = 0, []
    for name in names:
        try:
            reader.store.delete(name)
            deleted += 1
        except RefusedError as error:
            refused.append(str(error))
    return deleted, refused


def keep(reader: Reader, contents: Contents, name: str, record: Keep) -> None:
    """It is kept once this returns: it was read back. Raises ArchiveError where the name is taken,
    or where nothing leads to the moment now."""
    whole = reader.snapshots(contents).whole
    if not any(snapshot.index <= record.index for snapshot in whole):
        raise UnreachableMomentError(
            f"index {record.index} cannot be kept: no snapshot is that old"
        )
    try:
        key = keep_name(contents.history, name)
    except ValueError as error:
        raise ArchiveError(str(error)) from None
    with contextlib.suppress(ExistsError):
        reader.store.create(key, seal_record(KEEP, key, record, reader.keys))
    try:
        found = unseal_record(KEEP, key, reader.store.get(key), reader.keys, Keep)
    except AbsentError as error:
        raise StoreError(f"{reader.store.where}: {key} was created, and is not there") from error
    if found != record:
        raise ArchiveError(f"{name!r} is kept already, as another moment")


def release(reader: Reader, contents: Contents, name: str) -> None:
    if name not in contents.keeps:
        raise ArchiveError(f"{name!r} is not kept; {', '.join(contents.keeps) or 'nothing'} is")
    reader.store.delete(keep_name(contents.history, name))

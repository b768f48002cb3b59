"""Reads a whole history, and compares it with itself.

Each object is opened. The log is followed from the oldest whole snapshot to the end of the line,
and applied; where it comes to a later snapshot, the state that it led to must be that of the
snapshot. So a restore was done, to every snapshot's moment, when this finds nothing.

What is compared is a checksum of both states as this version encodes them: two versions may have
written different bytes for one state.
"""

from __future__ import annotations

import msgspec

from counter_node.archive.ahead import reading_ahead
from counter_node.archive.reader import Reader
from counter_node.archive.restore import Restored, apply_entry, begin, next_entries
from counter_node.archive.rules.contents import Contents
from counter_node.archive.rules.errors import ArchiveError
from counter_node.archive.rules.names import SnapshotName
from counter_node.archive.rules.objects import Manifest
from counter_node.archive.rules.restoring import Line


class Verdict(msgspec.Struct):
    """`problems` are what a restore would meet, or what shows that something was changed. `gaps`:
    (first, last) of entries that are not there, and for which a snapshot stands."""

    history: str
    first: int = 0
    last: int = 0
    utc_ms: int = 0
    snapshots: int = 0
    objects: int = 0
    gaps: list[tuple[int, int]] = []
    problems: list[str] = []


def verify(reader: Reader, contents: Contents) -> Verdict:
    """Raises StoreError, and ArchiveError for what this program cannot read at all (a newer format,
    a missing key)."""
    with reading_ahead(reader, contents) as ahead:
        return _verified(ahead, contents)


def _verified(reader: Reader, contents: Contents) -> Verdict:
    verdict = Verdict(contents.history)
    snapshots = reader.snapshots(contents)
    verdict.problems += snapshots.damaged
    at: Restored | None = None
    for name, manifest in sorted(snapshots.whole.items()):
        at = _to_snapshot(reader, contents, verdict, at, name, manifest) or at
    if at is None:
        verdict.problems.append("there is no whole snapshot: nothing can be restored")
        return verdict
    _follow(reader, contents, verdict, at, None)
    verdict.last, verdict.utc_ms = at.index, at.utc_ms
    return verdict


def _to_snapshot(
    reader: Reader,
    contents: Contents,
    verdict: Verdict,
    at: Restored | None,
    name: SnapshotName,
    manifest: Manifest,
) -> Restored | None:
    """The state of this snapshot, compared with where the log led before it."""
    try:
        found = begin(reader, contents.history, name, manifest)
    except ArchiveError as error:
        verdict.problems.append(str(error))
        return None
    verdict.snapshots += 1
    verdict.objects += 1 + len(manifest.parts)
    if at is None:
        verdict.first = name.index
        return found
    if at.index < name.index:
        _follow(reader, contents, verdict, at, name.index)
    if at.index == name.index and (
        at.term != name.term or at.machine.checksum() != found.machine.checksum()
    ):
        verdict.problems.append(
            f"object {name.manifest(contents.history)}: its state is not the one that the log "
            f"leads to from index {at.base}"
        )
    return found


def _follow(
    reader: Reader, contents: Contents, verdict: Verdict, at: Restored, until: int | None
) -> None:
    """Applies the log up to `until`, or to its end."""
    line = Line(contents.history, at.index, at.term)
    while until is None or at.index < until:
        following = next_entries(reader, contents, line)
        if following.gap:
            verdict.gaps.append((at.index + 1, following.gap))
        elif following.why:
            verdict.problems.append(following.why)
        if not following.entries:
            return
        for entry in following.entries:
            if until is not None and entry.index > until:
                return
            apply_entry(at, entry)

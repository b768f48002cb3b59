"""Which objects lead to a moment, and whether they fit each other. Pure.

A restore begins with one snapshot and applies the log behind it, entry by entry, up to the moment
that was asked for. So it gives the state of one moment, whatever is missing: a snapshot that is not
whole is no snapshot, and the log ends where the next object is missing, damaged, or of another
line. An older snapshot leads to the same moment, only by more log.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from counter_node.archive.rules.errors import DamagedObjectError, ForkedError
from counter_node.archive.rules.names import SnapshotName, log_name
from counter_node.archive.rules.objects import LogPiece, Manifest
from counter_node.raft.types import Entry

BEFORE: Final = 2
"""Objects before the likeliest one that are tried, and that retention leaves."""


class Newest(msgspec.Struct, frozen=True):
    def __str__(self) -> str:
        return "the newest moment"


class AtIndex(msgspec.Struct, frozen=True):
    index: int

    def __str__(self) -> str:
        return f"index {self.index}"


class AtTime(msgspec.Struct, frozen=True):
    """The state after every entry that is not later than this."""

    utc_ms: int

    def __str__(self) -> str:
        return f"time {self.utc_ms} ms after 1970 (UTC)"


Moment = Newest | AtIndex | AtTime


def bases(
    manifests: Iterable[tuple[SnapshotName, Manifest]], moment: Moment
) -> list[tuple[SnapshotName, Manifest]]:
    """The snapshots that a restore may begin with, the best first."""

    def fits(manifest: Manifest) -> bool:
        match moment:
            case AtIndex():
                return manifest.index <= moment.index
            case AtTime():
                return manifest.utc_ms <= moment.utc_ms
        return True

    found = [(name, manifest) for name, manifest in manifests if fits(manifest)]
    return sorted(found, key=lambda pair: pair[0], reverse=True)


def objects_for(firsts: Sequence[int], index: int) -> list[int]:
    """Which log objects may have this entry, by the first indexes of all; the likeliest first.

    On one line that is the one with the greatest first index. Where an object was damaged, or its
    name was free again after retention, two uploaders may have cut the same entries in two ways:
    then one before it may reach further."""
    at = bisect.bisect_right(firsts, index)
    return list(reversed(firsts[max(0, at - 1 - BEFORE) : at]))


class Line:
    """The log behind a snapshot, taken object by object. Wants `index + 1` next."""

    def __init__(self, history: str, index: int, term: int) -> None:
        self.history = history
        self.index = index
        self.term = term
        self._last: LogPiece | None = None

    def take(self, piece: LogPiece) -> list[Entry]:
        """The entries that are new; empty where the line ends before this object. Raises
        DamagedObjectError where it does not belong here, ForkedError where it is of another
        line."""
        name = log_name(self.history, piece.facts.first)
        if piece.facts.gap or not piece.facts.first <= self.index + 1 <= piece.facts.last:
            return []
        last = self._last
        follows = last is not None and piece.facts.first == last.facts.last + 1
        if follows and last and piece.facts.previous not in (b"", last.digest):
            raise DamagedObjectError(name, "does not follow the object before it")
        self._check_position(name, piece)
        self._last = piece
        fresh = [entry for entry in piece.entries if entry.index > self.index]
        term = self.term
        for entry in fresh:
            if entry.term < term:
                raise ForkedError(name, f"entry {entry.index} is of term {entry.term} after {term}")
            term = entry.term
        self.index, self.term = fresh[-1].index, term
        return fresh

    def _check_position(self, name: str, piece: LogPiece) -> None:
        """Where the object reaches back to the position, the term there is the same."""
        back = self.index - piece.facts.first
        if 0 <= back < len(piece.entries) and piece.entries[back].term != self.term:
            raise ForkedError(
                name,
                f"entry {self.index} is of term {piece.entries[back].term}, expected {self.term}",
            )

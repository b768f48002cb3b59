"""The names of objects, below a prefix that the store adds.

    <history>/lineage                                   where the history comes from
    <history>/log/<first index>                         committed entries, from that index on
    <history>/log/<first index>.passed                  that one is damaged: the line goes on there
    <history>/snap/<index>-<term>-<print>/<part>        a snapshot's state, in parts
    <history>/snap/<index>-<term>-<print>.manifest      written after all parts: it counts from here
    <history>/keep/<name>                               a moment that retention never takes

Numbers are 16 hex digits (parts: 6), so that names in alphabetical order are in the order of the
log. `print` is the beginning of a digest of the state.

1. A log object is named by its first index alone. Of two uploaders that cut differently only one
   can create it, so that pieces never leave a choice.
2. A snapshot is named by its content too. Two versions of this program may encode one state in two
   ways; both may stand there, and none is a fork.
3. No name is used for a second content, and none says "latest": nothing in an archive is replaced.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

PRINT_DIGITS: Final = 16
PARTS_MAX: Final = 1 << 24

_HISTORY = r"(?P<history>[0-9a-f]{16,32})"
_LOG = re.compile(rf"{_HISTORY}/log/(?P<first>[0-9a-f]{{16}})(?P<passed>\.passed)?")
_SNAPSHOT = re.compile(
    rf"{_HISTORY}/snap/(?P<index>[0-9a-f]{{16}})-(?P<term>[0-9a-f]{{16}})-(?P<print>[0-9a-f]{{16}})"
    r"(?:(?P<manifest>\.manifest)|/(?P<part>[0-9a-f]{6}))"
)
_LINEAGE = re.compile(rf"{_HISTORY}/lineage")
_KEEP = re.compile(rf"{_HISTORY}/keep/(?P<name>[a-z0-9][a-z0-9.-]{{0,62}})")


class SnapshotName(msgspec.Struct, frozen=True, order=True):
    index: int
    term: int
    print: str

    def folder(self, history: str) -> str:
        return f"{history}/snap/{self.index:016x}-{self.term:016x}-{self.print}"

    def manifest(self, history: str) -> str:
        return self.folder(history) + ".manifest"

    def part(self, history: str, number: int) -> str:
        if not 0 <= number < PARTS_MAX:
            raise ValueError(f"part {number}; at most {PARTS_MAX - 1}")
        return f"{self.folder(history)}/{number:06x}"


class LogPlace(msgspec.Struct, frozen=True):
    history: str
    first: int


class PassedPlace(msgspec.Struct, frozen=True):
    history: str
    first: int


class PartPlace(msgspec.Struct, frozen=True):
    history: str
    snapshot: SnapshotName
    number: int


class ManifestPlace(msgspec.Struct, frozen=True):
    history: str
    snapshot: SnapshotName


class LineagePlace(msgspec.Struct, frozen=True):
    history: str


class KeepPlace(msgspec.Struct, frozen=True):
    history: str
    name: str


Place = LogPlace | PassedPlace | PartPlace | ManifestPlace | LineagePlace | KeepPlace


def lineage_name(history: str) -> str:
    return f"{history}/lineage"


def log_name(history: str, first: int) -> str:
    return f"{history}/log/{first:016x}"


def passed_name(history: str, first: int) -> str:
    return log_name(history, first) + ".passed"


def keep_name(history: str, name: str) -> str:
    """Raises ValueError for a name that no object can have."""
    key = f"{history}/keep/{name}"
    if _KEEP.fullmatch(key) is None:
        raise ValueError(
            f"{name!r} is no name of a kept moment: 1 to 63 of a-z, 0-9, '-' and '.', beginning "
            f"with a letter or a digit"
        )
    return key


def place_of(name: str) -> Place | None:
    """None: not an object of an archive."""
    if found := _LOG.fullmatch(name):
        kind = PassedPlace if found["passed"] else LogPlace
        return kind(found["history"], int(found["first"], 16))
    if found := _SNAPSHOT.fullmatch(name):
        snapshot = SnapshotName(int(found["index"], 16), int(found["term"], 16), found["print"])
        if found["manifest"]:
            return ManifestPlace(found["history"], snapshot)
        return PartPlace(found["history"], snapshot, int(found["part"], 16))
    if found := _LINEAGE.fullmatch(name):
        return LineagePlace(found["history"])
    if found := _KEEP.fullmatch(name):
        return KeepPlace(found["history"], found["name"])
    return None

"""What may be deleted. Pure, and careful: what is deleted does not come back.

Kept is all that leads to a moment that must stay restorable:

1. every moment of the window, which ends with the newest one in the archive. Its length is in log
   time. So neither a clock that is wrong nor a cluster that sleeps for a year makes anything old;
2. the newest snapshots, `least` of them, with the log behind the oldest of these;
3. every kept moment (a backup).

A moment needs the newest whole snapshot that is not later, and the log from there on. Snapshots
that are not whole count for nothing. Deleting goes from old to new, and a manifest goes before its
parts: a crash in between leaves no manifest that names what is not there.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from counter_node.archive.rules.contents import Contents
from counter_node.archive.rules.names import SnapshotName, log_name, passed_name
from counter_node.archive.rules.objects import Manifest
from counter_node.archive.rules.restoring import BEFORE

LEAST_WINDOW_MS: Final = 3_600_000
"""What the program takes. An uploader that slept for less than a window must not find its names
free (uploader.AWAY_S)."""


class Policy(msgspec.Struct, frozen=True):
    window_ms: int
    least: int = 2

    def __post_init__(self) -> None:
        if self.window_ms < 0 or self.least < 1:
            raise ValueError(
                f"window_ms is {self.window_ms}, least is {self.least}; at least 0 and 1"
            )


def to_delete(
    contents: Contents,
    whole: Mapping[SnapshotName, Manifest],
    newest_ms: int,
    kept: Iterable[int],
    policy: Policy,
) -> list[str]:
    """Names in the order in which they go. `newest_ms`: log time of the newest moment. `kept`:
    indexes of moments that must stay."""
    snapshots = sorted(whole)
    if not snapshots:
        return []
    begin = _base_of_window(snapshots, whole, newest_ms, policy)
    ranges: list[tuple[int, int | None]] = [(begin.index, None)]
    needed = {name for name in snapshots if name.index >= begin.index}
    for index in kept:
        base = _newest(snapshots, index)
        if base is not None:
            needed.add(base)
            ranges.append((base.index, index))
    history = contents.history
    names: list[str] = []
    for name in sorted({*contents.manifests, *contents.parts}):
        if name.index < begin.index and name not in needed:
            if name in contents.manifests:
                names.append(name.manifest(history))
            names += [name.part(history, part) for part in sorted(contents.parts.get(name, {}))]
    for first in _useless_logs(contents.logs, ranges):
        names.append(log_name(history, first))
        if first in contents.passed:
            names.append(passed_name(history, first))
    return names


def _base_of_window(
    snapshots: Sequence[SnapshotName],
    whole: Mapping[SnapshotName, Manifest],
    newest_ms: int,
    policy: Policy,
) -> SnapshotName:
    """The snapshot from which on everything stays."""
    begin_ms = newest_ms - policy.window_ms
    before = [name for name in snapshots if whole[name].log_ms <= begin_ms]
    by_window = before[-1] if before else snapshots[0]
    by_count = snapshots[-min(policy.least, len(snapshots))]
    return min(by_window, by_count)


def _newest(snapshots: Sequence[SnapshotName], index: int) -> SnapshotName | None:
    fitting = [name for name in snapshots if name.index <= index]
    return fitting[-1] if fitting else None


def _useless_logs(firsts: Sequence[int], ranges: Sequence[tuple[int, int | None]]) -> list[int]:
    """Objects that have no entry of (base, last] of any range. How far an object reaches is known
    from the next one only; the newest stays, and some before the first of a range
    (restoring.py)."""
    needed: set[int] = set()
    for base, last in ranges:
        begin = max(0, bisect.bisect_right(firsts, base + 1) - 1 - BEFORE)
        end = len(firsts) if last is None else bisect.bisect_right(firsts, last)
        needed.update(firsts[begin:end])
    return [first for first in firsts[:-1] if first not in needed]

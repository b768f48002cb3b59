"""Where a disk job, a write and a sync, is waited for. Pure; disk_worker.py does it.

    inside   The loop waits. A follower's, which has nothing else to do, and the leader waits for
             it; and a leader's of few commands. Nothing is cheaper.
    beside   The write inside, then a thread that never needs the GIL calls fdatasync
             (`fast/syncer.pyx`), and the loop goes on. A leader's: for many commands, to read what
             the many others send; for one, as the followers may have it durable before this disk
             has.
    thread   All of it on a thread of the interpreter, so that not even a write that hangs stops
             heartbeats: for what always is slow (snapshot files), and for as long as the disk is.

| what was measured, each way side by side with inside | beside | thread |
|---|---|---|
| 50 connections, rate | 1.11 to 1.39 | |
| 50 connections, 99th percentile | | 3.7: the thread must get the GIL back from a busy loop |
| 500 connections, rate | 1.01 | |
| pipelines of 16, rate | 1.09 to 1.29 | |
| one connection, rate (a turn begins at once) | 1.03 to 1.06 | |
| the leader's CPU for a command, 50 connections; one | 1.05 to 1.08; 1.09 to 1.12 | |

See docs/decisions/0005-disk-inline-or-thread.md."""

from __future__ import annotations

import enum
from typing import Final, NamedTuple

MANY_BYTES: Final = 512
"""Entries of so many bytes, some twenty increments of different counters, are many commands."""
SLOW_S: Final = 0.020
"""A job that keeps the loop for longer than that says that the disk is slow."""
SLOW_AVERAGE_S: Final = 0.004
"""So does this average of the last jobs."""
CAREFUL_JOBS: Final = 500
"""So many are waited for on the thread then, and after them it is tried again."""
AVERAGE_OF: Final = 16


class Way(enum.Enum):
    INSIDE = enum.auto()
    BESIDE = enum.auto()
    THREAD = enum.auto()


class Facts(NamedTuple):
    """What is known of a job."""

    slow: bool  # by itself: a snapshot file, segments to be removed, again for want of room
    leads: bool
    entry_bytes: int
    one_command_waits: bool


class DiskPolicy:
    def __init__(self, *, has_syncer: bool) -> None:
        """`has_syncer`: the thread without the GIL is compiled."""
        self._has_syncer = has_syncer
        self._average_s = 0.0
        self._careful = 0  # jobs

    def way(self, facts: Facts) -> Way:
        if facts.slow or self._careful > 0:
            self._careful = max(0, self._careful - 1)
            return Way.THREAD
        worth = facts.one_command_waits or facts.entry_bytes >= MANY_BYTES
        return Way.BESIDE if facts.leads and worth and self._has_syncer else Way.INSIDE

    def took(self, kept_s: float) -> None:
        """How long a job kept the loop, or would have."""
        self._average_s += (kept_s - self._average_s) / AVERAGE_OF
        if kept_s > SLOW_S or self._average_s > SLOW_AVERAGE_S:
            self._careful = CAREFUL_JOBS

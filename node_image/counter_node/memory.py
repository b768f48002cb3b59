"""How much memory this process may use, and what is made of it. The only place that asks the
system.

The limit of a container is hard: who goes over it is killed, and as all members hold the same
state, all are. So the parts of the memory come to no more than the limit, all of them full at once
(`needs`):

1. `PROCESS`: the program itself.
2. What clients can make it hold (`client_bytes`).
3. A share for the log, of which the newest part is in memory (`log_bytes`).
4. The state, and half as much again: a snapshot is made beside it, a received one is there beside
   what is made from it, and the allocator keeps what is between counters.

The operator refuses settings that come to more (its room.py, which has the same numbers).

What is free is given back to the system, too. The interpreter returns whole arenas by itself; the C
library keeps what lies between two blocks that are in use, and of a snapshot's pieces that was 20
MiB of 130. So large blocks are pages of their own (`settle`), and what lies between is given back
in pieces (`Returns`)."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from counter_node.counters.weights import with_dump

PROCESS: Final = 64 << 20
CLIENTS_SHARE: Final = 8
MOST_CLIENTS: Final = 256 << 20
LEAST_CLIENTS: Final = 1 << 20
LOG_SHARE: Final = 6
"""One part in so many of the memory is for the log."""
LOG_EXPANDS: Final = 5
"""An entry of one small command takes so many times its bytes on disk."""
LEAST: Final = 8 << 20
"""Of log, and of state, however little memory there is."""
SNAPSHOT_ROOM: Final = 24 << 20
_CGROUPS: Final = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
OWN_PAGES_FROM: Final = 512 << 10
"""A block of so many bytes is no part of the heap: a buffer of a client, a part of a table. By
itself the C library would raise this to the largest that was ever freed."""
TRIM_THRESHOLD: Final = 1 << 20
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
RETURN_BYTES: Final = 8 << 20
"""Given back together, in a few ms."""
LEAST_RETURN_BYTES: Final = 1 << 20
LAST_S: Final = 5.0
"""So long after the last piece there is one more: answers and entries of the log that went with
what was counted are free by then."""
RETURN_SHARE: Final = 0.02
"""Of the time of the loop, at most."""
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_ENDLESS: Final = 1 << 60
_NEVER_S: Final = float("inf")


def limit_bytes(paths: tuple[str, ...] = _CGROUPS) -> int:
    """Of this process's control group; 0 when there is none."""
    for path in paths:
        try:
            text = Path(path).read_text().strip()
        except OSError:
            continue
        if text.isdigit() and 0 < int(text) < _ENDLESS:
            return int(text)
    return 0


def resident_bytes() -> int:
    """What this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


@functools.cache
def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None)


def settle() -> None:
    """Before the first thread begins. Another C library than glibc goes its own way."""
    with contextlib.suppress(OSError, AttributeError):
        mallopt = _library().mallopt
        for name, value in (
            (_M_MMAP_THRESHOLD, OWN_PAGES_FROM),
            (_M_TRIM_THRESHOLD, TRIM_THRESHOLD),
            (_M_ARENA_MAX, 1),
        ):
            mallopt(name, value)


def trim() -> None:
    """Free pages of the heap go back to the system. Holds the loop: see `Returns`."""
    with contextlib.suppress(OSError, AttributeError):
        _library().malloc_trim(0)


class Returns:
    """When free memory is given back: in the loop and little by little, since the allocator is
    locked meanwhile, so that on a thread it would hold the loop as well, and longer."""

    def __init__(self, clock: Callable[[], float], trim: Callable[[], None] = trim) -> None:
        self._clock, self._trim = clock, trim
        self._size = self._freed = 0
        self._due_bytes = 0
        self._not_before_s = 0.0
        self._last_s = _NEVER_S
        self.count = 0

    def let_go(self, size: int) -> None:
        """So many bytes were just freed: of a snapshot, say."""
        self._due_bytes += size

    def look(self, size: int, freed: int, *, more: bool) -> None:
        """Once a tick. `size`: of the state; `freed`: bytes of old tables that were freed so far,
        about; `more`: there are such still."""
        self._due_bytes += max(0, self._size - size) + max(0, freed - self._freed)
        quiet = size >= self._size and freed == self._freed and not more
        self._size, self._freed = size, freed
        now_s = self._clock()
        last = quiet and now_s >= self._last_s
        enough = self._due_bytes >= (LEAST_RETURN_BYTES if quiet else RETURN_BYTES)
        if now_s < self._not_before_s or not (enough or last):
            return
        self._trim()
        self._due_bytes = 0
        self.count += 1
        after_s = self._clock()
        self._not_before_s = after_s + (after_s - now_s) / RETURN_SHARE
        self._last_s = after_s + LAST_S if enough else _NEVER_S


def client_bytes(setting: int, memory: int) -> int:
    """What clients may make the process hold: the setting, or for 0 an eighth of its memory (0: not
    known), at most 256 MiB."""
    if setting:
        return setting
    return (
        max(LEAST_CLIENTS, min(MOST_CLIENTS, memory // CLIENTS_SHARE)) if memory else MOST_CLIENTS
    )


def state_bytes(memory: int, clients: int) -> int:
    """What the state may take (`max_bytes`) of so much memory, beside clients; 0, no limit, where
    that is not known."""
    if not memory:
        return 0
    return max(LEAST, (memory - PROCESS - clients - memory // LOG_SHARE) * 2 // 3)


def needs(memory: int, clients: int, state: int) -> int:
    """What all parts come to when each is full."""
    return PROCESS + clients + memory // LOG_SHARE + with_dump(state)


def log_bytes(memory: int) -> int:
    """After how much log on disk a snapshot is due at the latest, as the log is in memory as
    well."""
    return max(LEAST, memory // LOG_SHARE // LOG_EXPANDS) if memory else _ENDLESS


def survives(memory: int, encoded: int, resident: int) -> bool:
    """Whether a process that holds so much now can make a snapshot of so many bytes."""
    return not memory or resident + encoded + SNAPSHOT_ROOM <= memory

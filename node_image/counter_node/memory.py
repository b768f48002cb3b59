"""How much memory this process may use, and what is made of it. The only place that asks the system.

The limit of a container is hard: who goes over it is killed, and as all members hold the same state,
all are. So the parts of the memory come to no more than the limit, all of them full at once (`needs`):

1. `PROCESS`: the program itself.
2. What clients can make it hold (`client_bytes`).
3. A share for the log, of which the newest part is in memory (`log_bytes`).
4. The state, and half as much again: a snapshot is made beside it, a received one is there beside
   what is made from it, and the allocator keeps what is between counters.

The operator refuses settings that come to more (its room.py, which has the same numbers).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

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
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_ENDLESS: Final = 1 << 60


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


def client_bytes(setting: int, memory: int) -> int:
    """What clients may make the process hold: the setting, or for 0 an eighth of its memory (0: not known), at most 256 MiB."""
    if setting:
        return setting
    return max(LEAST_CLIENTS, min(MOST_CLIENTS, memory // CLIENTS_SHARE)) if memory else MOST_CLIENTS


def state_bytes(memory: int, clients: int) -> int:
    """What the state may take (`max_bytes`) of so much memory, beside clients; 0, no limit, where that is not known."""
    if not memory:
        return 0
    return max(LEAST, (memory - PROCESS - clients - memory // LOG_SHARE) * 2 // 3)


def needs(memory: int, clients: int, state: int) -> int:
    """What all parts come to when each is full."""
    return PROCESS + clients + memory // LOG_SHARE + state + state // 2


def log_bytes(memory: int) -> int:
    """After how much log on disk a snapshot is due at the latest, as the log is in memory as well."""
    return max(LEAST, memory // LOG_SHARE // LOG_EXPANDS) if memory else _ENDLESS


def survives(memory: int, encoded: int, resident: int) -> bool:
    """Whether a process that holds so much now can make a snapshot of so many bytes."""
    return not memory or resident + encoded + SNAPSHOT_ROOM <= memory

"""How much memory this process may use, and what is made of it. The only place that asks the system.

The limit of a container is hard: who goes over it is killed, and as all members hold the same state,
all are. So of the limit three parts are kept for other things than the state:

1. `PROCESS`: the program itself, connections, requests and replies under way.
2. A share for the log, of which the newest part is in memory (`log_bytes`).
3. Of what is left, a third: a snapshot is made beside the state, a received one is there beside what
   is made from it, and tables grow by being copied.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

PROCESS: Final = 80 << 20
LOG_SHARE: Final = 5
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


def state_bytes(memory: int) -> int:
    """What the state may take (`max_bytes`) of so much memory; 0, no limit, where that is not known."""
    if not memory:
        return 0
    return max(LEAST, (memory - PROCESS - memory // LOG_SHARE) * 2 // 3)


def log_bytes(memory: int) -> int:
    """After how much log on disk a snapshot is due at the latest, as the log is in memory as well."""
    return max(LEAST, memory // LOG_SHARE // LOG_EXPANDS) if memory else _ENDLESS


def survives(memory: int, encoded: int, resident: int) -> bool:
    """Whether a process that holds so much now can make a snapshot of so many bytes."""
    return not memory or resident + encoded + SNAPSHOT_ROOM <= memory

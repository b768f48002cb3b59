"""A member's durable state on disk: write-ahead log and snapshots. The only room that touches
files; no asyncio inside.

`storage.py` has the contract for callers, `frames.py` the frame format and the rule for torn
frames, `segments.py` the order of steps between segments, `recovery.py` what a crash explains. The
formats in prose: docs/internals/storage.md."""

from .errors import DamagedError, DiskFailedError, DiskFullError, InvariantError, StorageError
from .failpoints import Failpoints
from .recovery import Recovered
from .storage import Storage

__all__ = [
    "DamagedError",
    "DiskFailedError",
    "DiskFullError",
    "Failpoints",
    "InvariantError",
    "Recovered",
    "Storage",
    "StorageError",
]

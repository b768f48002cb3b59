"""A data directory that is in use, and one whose disk failed, in words."""

from __future__ import annotations

from pathlib import Path

from .disk import FULL, Disk
from .errors import DiskFailedError, StorageError


def take_lock(disk: Disk, path: Path) -> int:
    try:
        return disk.lock(path)
    except BlockingIOError:
        raise StorageError(
            f"{path}: another process uses this data directory. Stop it first."
        ) from None


def disk_failed(directory: Path, error: OSError) -> DiskFailedError:
    full = error.errno in FULL
    remedy = "Make room on the volume" if full else "Check the volume"
    return DiskFailedError(
        f"{directory}: {error}. {remedy}, then start the node again; it does not write until then."
    )

"""Files that others put before a node: users, certificates, keys. Opened so that none holds the
loop: a pipe without a writer would for ever, and a device never ends. Raises OSError."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def small(path: Path, most: int) -> bytes:
    """What is in a regular file, and of a longer one one byte more than `most`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{path} is no regular file")
        return file.read(most + 1)


def require_regular(*paths: Path) -> None:
    """For what others open by its path."""
    for path in paths:
        if not stat.S_ISREG(path.stat().st_mode):
            raise OSError(f"{path} is no regular file")

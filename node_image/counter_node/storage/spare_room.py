"""A little of a disk that is not full, kept for a snapshot on one that is: without one the log
could never be let go, however small the state has become."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

from .disk import FULL, Disk

NAME: Final = "room"
ROOM_BYTES: Final = 256 << 10
"""Less where segments are small."""


class SpareRoom:
    def __init__(self, disk: Disk, directory: Path) -> None:
        self._disk, self._path = disk, directory / NAME
        self._there = NAME in disk.list_dir(directory)

    def keep(self, segment_bytes: int) -> None:
        """Blocks. A full disk keeps none; other OSErrors are raised."""
        if self._there:
            return
        try:
            fd = self._disk.create(self._path)
            try:
                self._disk.allocate(fd, min(ROOM_BYTES, segment_bytes // 8))
            finally:
                self._disk.close(fd)
        except OSError as error:
            if error.errno not in FULL:
                raise
            with contextlib.suppress(FileNotFoundError):
                self._disk.unlink(self._path)
        else:
            self._there = True

    def give(self) -> bool:
        """Whether there was any."""
        gave, self._there = self._there, False
        if gave:
            self._disk.unlink(self._path)
        return gave

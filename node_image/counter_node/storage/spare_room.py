"""A little of a disk that is not full, kept for a snapshot on one that is: without one the log
could never be let go, however small the state has become."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

from .disk import FULL, Disk

NAME: Final = "room"
ROOM_BYTES: Final = 256 << 10
"""At least, and less where segments are small."""


class SpareRoom:
    def __init__(self, disk: Disk, directory: Path) -> None:
        self._disk, self._path = disk, directory / NAME
        self._there = NAME in disk.list_dir(directory)
        self._bytes = 0  # that it certainly has

    def keep(self, segment_bytes: int, left_bytes: int) -> None:
        """`left_bytes`: what a state without counters takes in a snapshot, at most. Blocks. A disk
        that becomes full by it keeps what it had; other OSErrors are raised."""
        wanted = min(ROOM_BYTES, segment_bytes // 8) + left_bytes
        if self._there and wanted <= self._bytes:
            return
        grows, self._there = self._there, True
        try:
            fd = self._disk.open(self._path) if grows else self._disk.create(self._path)
            try:
                self._disk.allocate(fd, wanted)
            finally:
                self._disk.close(fd)
        except OSError as error:
            if error.errno not in FULL:
                raise
            if not grows:
                self._there = False
                with contextlib.suppress(FileNotFoundError):
                    self._disk.unlink(self._path)
        else:
            self._bytes = wanted

    def give(self) -> bool:
        """Whether there was any."""
        gave, self._there, self._bytes = self._there, False, 0
        if gave:
            self._disk.unlink(self._path)
        return gave

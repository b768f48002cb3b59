"""The few file operations that storage is made of. Everything below this line is the operating
system.

Storage uses nothing else, so that a test or a simulator can hand in another disk: one that loses
un-synced writes, tears them, or fails (`faulty_disk.py` fails on demand). All calls block; `sync`
and `write` release the GIL while they wait.

What storage relies on, here and in any replacement: a rename is atomic; `sync` makes a file's bytes
and size durable, but not its name; `sync_dir` makes the names in a directory durable; a 512-byte
sector is written wholly or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from typing import Final

Bytes = bytes | bytearray | memoryview
FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE)
"""No room, of the disk or of the process: it may come back, and nothing is lost. Not a failure of
the disk."""
_ZEROS: Final = memoryview(bytes(256 << 10))


class Disk:
    """The real disk. Every method may raise OSError."""

    def make_dir(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)

    def list_dir(self, path: Path) -> list[str]:
        """Names in a directory, sorted; none when it does not exist."""
        return sorted(os.listdir(path)) if path.is_dir() else []

    def read(self, path: Path) -> bytes:
        return path.read_bytes()

    def read_at(self, fd: int, size: int, offset: int) -> bytes:
        """Up to `size` bytes; fewer only at the end of the file."""
        return os.pread(fd, size, offset)

    def create(self, path: Path) -> int:
        """A new or emptied file, open for writing."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)

    def open(self, path: Path) -> int:
        """An existing file, open for writing."""
        return os.open(path, os.O_RDWR)

    def close(self, fd: int) -> None:
        os.close(fd)

    def allocate(self, fd: int, size: int) -> None:
        """Reserves `size` bytes, which read as zeros. ENOSPC comes here rather than in the middle
        of a frame."""
        os.posix_fallocate(fd, 0, size)

    def fill(self, fd: int, size: int, offset: int) -> None:
        """Writes zeros over reserved bytes, which read as zeros already, and begins to bring them
        to the disk, so that a later sync of what is written there finds less to do. Promises
        nothing."""
        while size > 0:
            size -= (done := os.pwrite(fd, _ZEROS[:size], offset))
            os.posix_fadvise(
                fd, offset, done, os.POSIX_FADV_DONTNEED
            )  # Linux: dirty pages of this range go to the disk, without waiting
            offset += done

    def write(self, fd: int, data: Bytes, offset: int) -> None:
        written = os.pwrite(fd, data, offset)
        while written < len(data):
            written += os.pwrite(fd, memoryview(data)[written:], offset + written)

    def sync(self, fd: int) -> None:
        os.fdatasync(fd)

    def rename(self, source: Path, target: Path) -> None:
        os.rename(source, target)

    def unlink(self, path: Path) -> None:
        os.unlink(path)

    def sync_dir(self, path: Path) -> None:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def lock(self, path: Path) -> int:
        """Takes the exclusive lock that lives as long as this process. BlockingIOError when another
        holds it."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            raise
        return fd


def write_file(disk: Disk, path: Path, data: bytes) -> None:
    """Makes `path` hold `data`, durably and all or nothing: temporary file, sync, rename, sync of
    the directory."""
    temporary = path.with_name(path.name + ".tmp")
    fd = disk.create(temporary)
    try:
        disk.write(fd, data, 0)
        disk.sync(fd)
    finally:
        disk.close(fd)
    disk.rename(temporary, path)
    disk.sync_dir(path.parent)

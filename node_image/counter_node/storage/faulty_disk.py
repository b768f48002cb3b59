"""A disk with failpoints: visits `storage.<operation>` before, and `storage.after_<operation>`
after, each operation.

Operations: create, allocate, fill, write, sync, rename, sync_dir, unlink. Each is visited under its
plain name and under the kind of file it touches: `storage.sync` and `storage.sync.wal`, `.snap`, or
`.root` (node.json and the data directory itself). Wrapped around the real disk only when
`COUNTER_FAILPOINTS` is set, so that the usual path has no checks in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .disk import Bytes, Disk
from .failpoints import Failpoints, ShortWriteError


class FaultyDisk(Disk):
    def __init__(self, inner: Disk, failpoints: Failpoints) -> None:
        self._inner = inner
        self._failpoints = failpoints
        self._paths: dict[int, Path] = {}

    @contextmanager
    def _around(self, operation: str, path: Path) -> Iterator[None]:
        folder = path.name if operation == "sync_dir" else path.parent.name
        kind = folder if folder in ("wal", "snap") else "root"
        for name in (f"storage.{operation}", f"storage.{operation}.{kind}"):
            self._failpoints.visit(name)
        yield
        for name in (f"storage.after_{operation}", f"storage.after_{operation}.{kind}"):
            self._failpoints.visit(name)

    def make_dir(self, path: Path) -> None:
        self._inner.make_dir(path)

    def list_dir(self, path: Path) -> list[str]:
        return self._inner.list_dir(path)

    def read(self, path: Path) -> bytes:
        return self._inner.read(path)

    def read_at(self, fd: int, size: int, offset: int) -> bytes:
        return self._inner.read_at(fd, size, offset)

    def create(self, path: Path) -> int:
        with self._around("create", path):
            fd = self._inner.create(path)
        self._paths[fd] = path
        return fd

    def open(self, path: Path) -> int:
        fd = self._inner.open(path)
        self._paths[fd] = path
        return fd

    def close(self, fd: int) -> None:
        self._paths.pop(fd, None)
        self._inner.close(fd)

    def allocate(self, fd: int, size: int) -> None:
        with self._around("allocate", self._paths[fd]):
            self._inner.allocate(fd, size)

    def fill(self, fd: int, size: int, offset: int) -> None:
        with self._around("fill", self._paths[fd]):
            self._inner.fill(fd, size, offset)

    def write(self, fd: int, data: Bytes, offset: int) -> None:
        try:
            with self._around("write", self._paths[fd]):
                self._inner.write(fd, data, offset)
        except ShortWriteError:
            self._inner.write(fd, memoryview(data)[: len(data) // 2], offset)
            raise

    def sync(self, fd: int) -> None:
        with self._around("sync", self._paths[fd]):
            self._inner.sync(fd)

    def rename(self, source: Path, target: Path) -> None:
        with self._around("rename", target):
            self._inner.rename(source, target)

    def unlink(self, path: Path) -> None:
        with self._around("unlink", path):
            self._inner.unlink(path)

    def sync_dir(self, path: Path) -> None:
        with self._around("sync_dir", path):
            self._inner.sync_dir(path)

    def lock(self, path: Path) -> int:
        return self._inner.lock(path)

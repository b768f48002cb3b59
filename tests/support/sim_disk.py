"""A disk in memory that forgets what was not synced, as unkindly as a real one may.

Each file has what is durable and what the page cache shows; each directory has durable and visible
names. `crash` throws the cache away: every un-synced sector, size and name is kept or lost
on its own, as `random` decides. `kill` is the death of the process alone: the cache stays.
`steps_left` lets the process die before any chosen operation."""

from __future__ import annotations

import copy
import random
from dataclasses import dataclass, field
from pathlib import Path

from counter_node.storage.disk import Bytes, Disk

SECTOR_BYTES = 512


class CrashError(BaseException):
    """The process is gone. Not an Exception, so that no handler can go on as if nothing had
    happened."""


@dataclass(eq=False)
class File:
    durable: bytearray = field(default_factory=bytearray)
    cached: bytearray = field(default_factory=bytearray)

    def settle(self, keep: random.Random | None) -> None:
        """What a power failure leaves: per dirty sector, the old or the new content. None loses
        everything un-synced."""
        if keep is None:
            self.cached = bytearray(self.durable)
            return
        share = keep.choice((0.0, 0.1, 0.5, 0.9, 1.0))
        size = len(self.cached) if keep.random() < share else len(self.durable)
        result = bytearray(size)
        result[: len(self.durable)] = self.durable[:size]
        for start in range(0, size, SECTOR_BYTES):
            new = self.cached[start : start + SECTOR_BYTES][: size - start]
            if new != result[start : start + SECTOR_BYTES] and keep.random() < share:
                result[start : start + len(new)] = new
        self.durable, self.cached = result, bytearray(result)


@dataclass
class Folder:
    durable: dict[str, File] = field(default_factory=dict)
    cached: dict[str, File] = field(default_factory=dict)
    pending: list[dict[str, File | None]] = field(
        default_factory=list
    )  # each change is one atomic step

    def change(self, step: dict[str, File | None]) -> None:
        self.pending.append(step)
        self._apply(self.cached, step)

    def settle(self, keep: random.Random | None) -> None:
        if keep is not None:
            ordered = keep.random() < 0.5
            steps = (
                self.pending[: keep.randint(0, len(self.pending))]
                if ordered
                else [s for s in self.pending if keep.random() < 0.5]
            )
            for step in steps:
                self._apply(self.durable, step)
        self.cached, self.pending = dict(self.durable), []

    def sync(self) -> None:
        self.durable, self.pending = dict(self.cached), []

    @staticmethod
    def _apply(names: dict[str, File], step: dict[str, File | None]) -> None:
        for name, file in step.items():
            if file is None:
                names.pop(name, None)
            else:
                names[name] = file


class SimDisk(Disk):
    def __init__(self) -> None:
        self._folders: dict[Path, Folder] = {}
        self._open: dict[int, File] = {}
        self._fd = 100
        self.steps_left: int | None = None
        self.steps = 0

    def crash(self, keep: random.Random | None) -> None:
        """Power failure and restart of the machine."""
        files = {
            id(f): f
            for folder in self._folders.values()
            for f in (*folder.durable.values(), *folder.cached.values())
        }
        for file in files.values():
            file.settle(keep)
        for folder in self._folders.values():
            folder.settle(keep)
        self.kill()

    def kill(self) -> None:
        self._open.clear()
        self.steps_left = None

    def clone(self) -> SimDisk:
        return copy.deepcopy(self)

    def file(self, path: Path) -> File:
        try:
            return self._folders[path.parent].cached[path.name]
        except KeyError:
            raise FileNotFoundError(path) from None

    def _step(self) -> None:
        self.steps += 1
        if self.steps_left is not None:
            if self.steps_left == 0:
                raise CrashError
            self.steps_left -= 1

    def make_dir(self, path: Path) -> None:
        self._folders.setdefault(path, Folder())

    def list_dir(self, path: Path) -> list[str]:
        return sorted(self._folders[path].cached) if path in self._folders else []

    def read(self, path: Path) -> bytes:
        return bytes(self.file(path).cached)

    def read_at(self, fd: int, size: int, offset: int) -> bytes:
        return bytes(self._open[fd].cached[offset : offset + size])

    def create(self, path: Path) -> int:
        self._step()
        self._folders[path.parent].change({path.name: File()})
        return self.open(path)

    def open(self, path: Path) -> int:
        self._fd += 1
        self._open[self._fd] = self.file(path)
        return self._fd

    def close(self, fd: int) -> None:
        self._open.pop(fd, None)

    def allocate(self, fd: int, size: int) -> None:
        self._step()
        file = self._open[fd]
        file.cached.extend(bytes(max(0, size - len(file.cached))))

    def fill(self, fd: int, size: int, offset: int) -> None:
        self._step()
        there = self._open[fd].cached[offset : offset + size]
        assert there == bytes(size), "only zeros are filled with zeros"

    def write(self, fd: int, data: Bytes, offset: int) -> None:
        self._step()
        file = self._open[fd]
        file.cached.extend(bytes(max(0, offset + len(data) - len(file.cached))))
        file.cached[offset : offset + len(data)] = data

    def sync(self, fd: int) -> None:
        self._step()
        file = self._open[fd]
        file.durable = bytearray(file.cached)

    def rename(self, source: Path, target: Path) -> None:
        self._step()
        assert source.parent == target.parent
        self._folders[source.parent].change({source.name: None, target.name: self.file(source)})

    def unlink(self, path: Path) -> None:
        self._step()
        self.file(path)
        self._folders[path.parent].change({path.name: None})

    def sync_dir(self, path: Path) -> None:
        self._step()
        if path in self._folders:
            self._folders[path].sync()

    def lock(self, path: Path) -> int:
        return 0

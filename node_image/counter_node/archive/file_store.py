"""An archive in a directory: a PersistentVolumeClaim that outlives the members, or a disk of one's
own.

An object is written under a temporary name, synced, and then linked to its own name, which fails
where that is taken: never half an object, never two contents, on every POSIX file system that has
hard links. What a crash leaves under a temporary name is passed over and is nobody's.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from counter_node.archive.stores import AbsentError, ExistsError, RefusedError, StoreError

_TEMPORARY: Final = ".new-"


class FileStore:
    def __init__(self, root: Path) -> None:
        self.where = f"file://{root}"
        self._root = root

    def create(self, name: str, data: bytes) -> None:
        path = self._root / name
        temporary = path.with_name(_TEMPORARY + secrets.token_hex(8))
        with self._errors(f"cannot create {name}"):
            self._make_folder(path.parent)
            try:
                _write(temporary, data)
                os.link(temporary, path)
            except FileExistsError:
                raise ExistsError(f"{self.where}: {name} exists already") from None
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary)
            _sync_folder(path.parent)

    def get(self, name: str) -> bytes:
        with self._errors(f"cannot read {name}"):
            return (self._root / name).read_bytes()

    def list(self, under: str = "") -> Iterator[tuple[str, int]]:
        with self._errors("cannot be listed"):
            if not self._root.is_dir():
                raise AbsentError(f"{self.where}: there is no such directory. Mount or make it")
            for folder, _, files in os.walk(self._root / under, onerror=_raise):
                for file in files:
                    path = Path(folder, file)
                    if not file.startswith(_TEMPORARY):
                        yield path.relative_to(self._root).as_posix(), path.stat().st_size

    def delete(self, name: str) -> None:
        path = self._root / name
        with self._errors(f"cannot delete {name}"):
            try:
                path.unlink()
            except FileNotFoundError:
                return
            _sync_folder(path.parent)
            with contextlib.suppress(OSError):  # not empty
                path.parent.rmdir()

    def _make_folder(self, folder: Path) -> None:
        """Durable, with every folder above it up to the root. The root itself must be there: an
        archive that is written below a mount point whose volume is missing is none."""
        if folder.is_dir():
            return
        if not self._root.is_dir():
            raise AbsentError(f"{self.where}: there is no such directory. Mount or make it")
        self._make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync_folder(folder.parent)

    @contextlib.contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise AbsentError(f"{self.where}: {what}: {error.strerror}") from error
        except PermissionError as error:
            raise RefusedError(
                f"{self.where}: {what}: {error.strerror}. Give the process the right to do it; on "
                f"a file system without hard links there can be no archive"
            ) from error
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            remedy = ". Make room on the volume" if full else ""
            raise StoreError(f"{self.where}: {what}: {error.strerror}{remedy}") from error


def _raise(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _write(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

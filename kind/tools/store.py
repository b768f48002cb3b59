"""The content-addressed cache: an artefact is a folder named after the hash of everything that went
into it.

Rules:
1. An artefact that is there is whole: it is built in `tmp/` and renamed into place.
2. It is never changed; other inputs give another key and so another folder.
3. One program at a time works in the cache (`exclusive`); whatever lies in `tmp/` at that moment is
   a left-over.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

KEPT_PER_NAME = 3
LEFT_OVERS_END_S = 10


def digest(*parts: str | bytes | Path) -> str:
    """16 hex digits that name these inputs: strings by value, files by content, folders by the
    names and contents in them."""
    total = hashlib.sha256()
    for part in parts:
        kind, value = _fingerprint(part)
        total.update(f"{kind} {len(value)} ".encode())
        total.update(value)
    return total.hexdigest()[:16]


def _fingerprint(part: str | bytes | Path) -> tuple[str, bytes]:
    if isinstance(part, str):
        return "text", part.encode()
    if isinstance(part, bytes):
        return "bytes", part
    if part.is_dir():
        inside = hashlib.sha256()
        for file in source_files(part):
            content = hashlib.sha256(file.read_bytes()).hexdigest()
            executable = bool(file.stat().st_mode & 0o100)
            inside.update(f"{file.relative_to(part)}\0{content}\0{executable}\n".encode())
        return "folder", inside.digest()
    return "file", hashlib.sha256(part.read_bytes()).digest()


def source_files(folder: Path) -> list[Path]:
    """The files below a folder that are sources, sorted: none that a compiler made, no hidden
    ones."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and not _is_made(path)
        and not any(p.startswith(".") or p == "__pycache__" for p in path.relative_to(folder).parts)
    )


def _is_made(path: Path) -> bool:
    """Whether a compiler of this machine made a file (node_image/compile.py): C is a source as
    well, except beside the Cython that it came from."""
    return path.suffix in (".pyc", ".so") or (
        path.suffix == ".c" and path.with_suffix(".pyx").exists()
    )


@dataclass(frozen=True)
class Store:
    """The artefacts below one cache folder."""

    root: Path

    def path(self, name: str, key: str) -> Path:
        return self.root / "artefacts" / name / key

    def has(self, name: str, key: str) -> bool:
        return self.path(name, key).is_dir()

    @contextlib.contextmanager
    def building(self, name: str, key: str) -> Iterator[Path]:
        """A temporary folder that becomes the artefact when the block ends well, and is removed
        when not."""
        with self.scratch(name) as folder:
            yield folder
            final = self.path(name, key)
            final.parent.mkdir(parents=True, exist_ok=True)
            if final.exists():
                remove_tree(final)
            folder.rename(final)

    @contextlib.contextmanager
    def scratch(self, name: str) -> Iterator[Path]:
        """A folder that is gone after the block."""
        folder = self.root / "tmp" / f"{name}-{secrets.token_hex(4)}"
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            if folder.exists():
                remove_tree(folder)

    def log(self, name: str) -> Path:
        folder = self.root / "logs"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{name}.log"

    def used(self, name: str, key: str) -> None:
        """Marks an artefact as just used, for `forget_old`."""
        os.utime(self.path(name, key))

    def forget_old(self) -> None:
        """Removes all but the few most recently used artefacts of each name."""
        for name in (self.root / "artefacts").glob("*"):
            by_age = sorted(name.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
            for old in by_age[KEPT_PER_NAME:]:
                remove_tree(old)

    def forget_left_overs(self) -> None:
        """Ends the builds that a killed run left going, then removes what they built so far."""
        deadline = time.monotonic() + LEFT_OVERS_END_S
        while (pids := processes_at(self.root / "tmp")) and time.monotonic() < deadline:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)
        for left_over in (self.root / "tmp").glob("*"):
            remove_tree(left_over)

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Waits until no other run of this program works in the cache, then keeps others out."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / "lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                print(
                    f"another run (process {lock.read().strip() or '?'}) is at work: waiting for "
                    f"it",
                    file=sys.stderr,
                )
                fcntl.flock(lock, fcntl.LOCK_EX)
            lock.truncate(0)
            lock.write(f"{os.getpid()}\n")
            lock.flush()
            self.forget_left_overs()
            yield


def remove_tree(folder: Path) -> None:
    """Removes a folder; whatever an interrupted build left mounted in it is unmounted first, never
    emptied."""
    for point in mounts_below(
        folder, Path("/proc/mounts").read_text() if Path("/proc/mounts").exists() else ""
    ):
        subprocess.run(["umount", "--lazy", str(point)], check=False, capture_output=True)
    if folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder, ignore_errors=True)
    else:
        folder.unlink(missing_ok=True)


def processes_at(folder: Path, proc: Path = Path("/proc")) -> list[int]:
    """The processes that work inside a folder: it is in their command line, or they are chrooted
    into it."""
    found = []
    for entry in proc.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            line = (entry / "cmdline").read_bytes().decode(errors="replace")
            inside = f"{folder}/" in line or folder in (entry / "root").readlink().parents
            if inside and int(entry.name) != os.getpid():
                found.append(int(entry.name))
    return sorted(found)


def mounts_below(folder: Path, table: str) -> list[Path]:
    """The mount points inside a folder, deepest first, from the text of /proc/mounts."""
    points = [
        Path(line.split()[1].replace("\\040", " "))
        for line in table.splitlines()
        if len(line.split()) > 1
    ]
    return sorted(
        (p for p in points if folder in p.parents), key=lambda p: len(p.parts), reverse=True
    )

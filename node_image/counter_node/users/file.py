"""The file of users: read, judged, and kept for the day on which it cannot be read.

1. The file is read again when it changes. A file that cannot be read or makes no sense is not used:
   the last good one stays in force, less what the new one plainly takes away (taken.py).
2. What is in force is copied to the node's own volume, with hashes for passwords. So a node that
   starts beside a file that cannot be used goes on with the last good one; one that never had any
   does not start.
3. `digest` and `error` tell the operator which file is in force, and why it is not the newest.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from counter_node.logs import log
from counter_node.security.acl import MAX_FILE_BYTES, Acl, AclError, Catalogue
from counter_node.security.files import small
from counter_node.security.taken import remaining
from counter_node.storage.disk import Disk, write_file

KEPT: Final = "users.kept"
DIGEST_DIGITS: Final = 16
_HEAD: Final = "# digest "
NOBODY: Final = "the file names no user who may log in"


class UsersFile:
    def __init__(
        self, path: Path | None, catalogue: Catalogue, directory: Path | None = None
    ) -> None:
        """`directory`: of the copy; without it there is none. Raises AclError when there is neither
        a file nor a copy that can be used."""
        self._path, self._catalogue = path, catalogue
        self._kept = directory / KEPT if directory is not None else None
        self._writer = ThreadPoolExecutor(1, "users")
        self.digest = ""
        """The first hex digits of the SHA-256 of the file in force; empty without a file."""
        self.error = ""
        """Why the newest file is not the one in force, or that it lets nobody in; empty when all is
        well."""
        self._seen = self._stamp()
        self.acl = self._first()

    def changed(self) -> bool:
        """Whether the file is another one than when it was read last."""
        return self._path is not None and self._stamp() != self._seen

    def read_again(self) -> bool:
        """False when the file cannot be used; `acl` may have become stricter all the same."""
        self._seen = self._stamp()
        good = self._read(self.acl)
        if good:
            self.keep()
        return good

    def keep(self) -> None:
        """Copies what is in force, beside the loop. Called when the directory is there."""
        if self._kept is not None and self._path is not None:
            text = f"{_HEAD}{self.digest}\n{self.acl.text}"
            self._writer.submit(_write, self._kept, text.encode())

    def close(self) -> None:
        self._writer.shutdown()

    # --- the file ---------------------------------------------------------------------------------

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat() if self._path is not None else None
        except OSError:
            return None
        return (found.st_mtime_ns, found.st_ino, found.st_size) if found is not None else None

    def _first(self) -> Acl:
        if self._path is None:
            return Acl(None, self._catalogue)
        last = self._copy()
        self.acl = last or Acl("", self._catalogue)
        if not self._read(self.acl) and last is None:
            raise AclError(self.error)
        return self.acl

    def _read(self, last: Acl) -> bool:
        assert self._path is not None
        text = ""
        try:
            data = small(self._path, MAX_FILE_BYTES)
            if len(data) > MAX_FILE_BYTES:
                raise AclError(f"{self._path} has more than {MAX_FILE_BYTES} bytes")
            text = data.decode()
            acl = Acl(text, self._catalogue)
        except (OSError, UnicodeDecodeError) as error:
            # not its words: they might show what was read
            self.error = f"{self._path}: {type(error).__name__}"
        except AclError as error:
            self.error = f"{self._path}, {error}" if text else str(error)
            if text:
                self.acl = remaining(last, text, self._catalogue)
                self.keep()
        else:
            self.acl = acl
            self.digest = hashlib.sha256(data).hexdigest()[:DIGEST_DIGITS]
            self.error = (
                ""
                if any(user.enabled for user in acl.users.values())
                else f"{self._path}: {NOBODY}"
            )
            return True
        return False

    def _copy(self) -> Acl | None:
        """The last good file, as this node kept it."""
        try:
            text = self._kept.read_text() if self._kept is not None else ""
            acl = Acl(text, self._catalogue)
        except (OSError, UnicodeDecodeError, AclError) as error:
            if not isinstance(error, FileNotFoundError):
                log.error("the copy of the users cannot be used: %s", type(error).__name__)
            return None
        if not text.startswith(_HEAD):
            return None
        self.digest = text.splitlines()[0].removeprefix(_HEAD)
        return acl


def _write(path: Path, data: bytes) -> None:
    try:
        write_file(Disk(), path, data)
    except OSError as error:
        log.error("the users could not be copied to the volume: %s", error)
